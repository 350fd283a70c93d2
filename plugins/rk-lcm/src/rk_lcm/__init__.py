"""Learnable commutative monoids: an aggregator that folds sets in a balanced tree, by a learned binary operator.

Ong and Velickovic, "Learnable Commutative Monoids for Graph Neural Networks", Learning on Graphs 2022,
arXiv:2212.08541:

    @inproceedings{ong2022learnable,
      title     = {Learnable Commutative Monoids for Graph Neural Networks},
      author    = {Ong, Euan and Veli{\\v{c}}kovi{\\'c}, Petar},
      booktitle = {Learning on Graphs Conference},
      year      = {2022}
    }
"""

from rk import hookimpl


@hookimpl
def rk_layers() -> dict[str, str]:
    return {"lcm": "rk_lcm.aggregator:LCM"}


@hookimpl
def rk_data() -> dict[str, str]:
    return {"neighbour-tasks": "rk_lcm.set_tasks:NeighbourTasks", "set-tasks": "rk_lcm.set_tasks:SetTasks"}


@hookimpl
def rk_losses() -> dict[str, str]:
    return {
        "bit-cross-entropy": "rk_lcm.bits:BitCrossEntropy",
        "monoid-regularizer": "rk_lcm.regularizer:MonoidRegularizer",
    }


@hookimpl
def rk_metrics() -> dict[str, str]:
    return {"exact-match": "rk_lcm.bits:ExactMatch"}


@hookimpl
def rk_callbacks() -> dict[str, str]:
    return {"monoid-probe": "rk_lcm.probe:MonoidProbe"}


@hookimpl
def rk_analyses() -> dict[str, str]:
    return {"size-curve": "rk_lcm.size_curve:SizeCurve"}
