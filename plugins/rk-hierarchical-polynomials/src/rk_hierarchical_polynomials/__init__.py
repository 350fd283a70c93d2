"""Learning hierarchical polynomials with three-layer networks, and training any model in stages.

Wang, Nichani and Lee, "Learning Hierarchical Polynomials with Three-Layer Neural Networks", ICLR 2024,
arXiv:2311.13774:

    @inproceedings{wang2024learning,
      title     = {Learning Hierarchical Polynomials with Three-Layer Neural Networks},
      author    = {Wang, Zihao and Nichani, Eshaan and Lee, Jason D.},
      booktitle = {International Conference on Learning Representations},
      year      = {2024}
    }
"""

from rk import hookimpl

SMALL = ("data.num_features=6", "data.train_examples=384", "data.val_examples=64", "data.test_examples=64")
RK_TRIAL = dict.fromkeys(("tanh-quick", "tanh-kernel", "tanh-stage-one", "z3", "z3-kernel"), SMALL)


@hookimpl
def rk_trainers() -> dict[str, str]:
    return {"stages": "rk_hierarchical_polynomials.stages:Stages"}


@hookimpl
def rk_data() -> dict[str, str]:
    return {"hierarchical-polynomial": "rk_hierarchical_polynomials.data:HierarchicalPolynomial"}


@hookimpl
def rk_models() -> dict[str, str]:
    return {"three-layer-resnet": "rk_hierarchical_polynomials.model:ThreeLayerResNet"}


@hookimpl
def rk_metrics() -> dict[str, str]:
    return {
        "normalised-error": "rk_hierarchical_polynomials.metrics:NormalisedError",
        "feature-correlation": "rk_hierarchical_polynomials.metrics:FeatureCorrelation",
    }


@hookimpl
def rk_analyses() -> dict[str, str]:
    return {"sample-complexity": "rk_hierarchical_polynomials.complexity:SampleComplexity"}
