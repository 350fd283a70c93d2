"""ForwardGNN: layers of graph neural networks that learn alone, from forward passes.

Park et al., "Forward Learning of Graph Neural Networks", ICLR 2024, arXiv:2403.11004:

    @inproceedings{park2024forward,
      title     = {Forward Learning of Graph Neural Networks},
      author    = {Park, Namyong and Wang, Xing and Simoulin, Antoine and Yang, Shuai and Yang, Grey and Rossi, Ryan and
                   Trivedi, Puja and Ahmed, Nesreen},
      booktitle = {International Conference on Learning Representations},
      year      = {2024}
    }
"""

from rk import hookimpl

_SHORT = ("trainer.monitor=null", "trainer.layer_steps=40")
"""Layers that end by themselves, not by validations: these choose weights, which the kit would take for a mistake."""
_GRAPH = ("data.num_nodes=120", "model.d_model=8", *_SHORT)
_CORA = ("model.d_model=4", "model.num_layers=2", *_SHORT)

RK_TRIAL = {
    "block-model-quick": _GRAPH,
    "block-model-one-layer": _GRAPH,
    "block-model-ff-label": _GRAPH,
    "block-model-ff-virtual": _GRAPH,
    "block-model-top-input": _GRAPH,
    "block-model-top-loss": _GRAPH,
    "cora-full": _CORA,
    "cora-ff-label": _CORA,
    "cora-ff-virtual": _CORA,
    "cora-top-input": _CORA,
    "cora-top-loss": _CORA,
    "cora-links": _CORA,
    "cora-links-ff": _CORA,
    "digits-chain": _SHORT,
    "digits-conv": _SHORT,
    "digits-ff-label": _SHORT,
    "layer-memory": ("max_depth=2", "d_model=4"),
}

RK_EXEMPT = {
    "loss-falls:digits-conv": "the loss is measured with running statistics, which have not settled after thirty steps",
}


@hookimpl
def rk_trainers() -> dict[str, str]:
    return {"forward-local": "rk_forwardgnn.trainer:ForwardLocal"}


@hookimpl
def rk_models() -> dict[str, str]:
    return {"gnn-stack": "rk_forwardgnn.model:GNNStack", "label-chain": "rk_forwardgnn.chain:LabelChain"}


@hookimpl
def rk_losses() -> dict[str, str]:
    return {
        "goodness-bce": "rk_forwardgnn.losses:GoodnessBCE",
        "prototype-cross-entropy": "rk_forwardgnn.losses:PrototypeCrossEntropy",
    }


@hookimpl
def rk_metrics() -> dict[str, str]:
    return {"depth-accuracy": "rk_forwardgnn.probe:DepthAccuracy"}


@hookimpl
def rk_analyses() -> dict[str, str]:
    return {"layer-memory": "rk_forwardgnn.memory:LayerMemory", "layer-probe": "rk_forwardgnn.probe:LayerProbe"}
