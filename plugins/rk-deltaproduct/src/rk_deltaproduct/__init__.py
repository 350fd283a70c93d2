"""DeltaProduct: a linear RNN whose transition is a product of Householder matrices, with any number of them per step.

Siems, Carstensen, Zela, Hutter, Pontil and Grazzi, "DeltaProduct: Improving State-Tracking in Linear RNNs via
Householder Products", NeurIPS 2025, arXiv:2502.10297:

    @inproceedings{siems2025deltaproduct,
      title     = {{DeltaProduct}: Improving State-Tracking in Linear {RNNs} via {Householder} Products},
      author    = {Siems, Julien and Carstensen, Timur and Zela, Arber and Hutter, Frank and Pontil, Massimiliano
                   and Grazzi, Riccardo},
      booktitle = {Advances in Neural Information Processing Systems},
      year      = {2025}
    }
"""

from rk import hookimpl

RK_TRIAL = {"s3-quick": ("data.batch_size=8", "data.test_lengths=[32, 48]")}


@hookimpl
def rk_layers() -> dict[str, str]:
    return {"deltaproduct": "rk_deltaproduct.layer:DeltaProduct"}


@hookimpl
def rk_analyses() -> dict[str, str]:
    return {"prefix-accuracy": "rk_deltaproduct.analysis:PrefixAccuracy"}


@hookimpl
def rk_trainers() -> dict[str, str]:
    return {"length-curriculum": "rk_deltaproduct.curriculum:LengthCurriculum"}
