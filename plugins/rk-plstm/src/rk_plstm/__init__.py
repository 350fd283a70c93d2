"""pLSTM: linear RNNs with source, transition and mark gates on lines, grids and directed acyclic graphs.

Poeppel, Freinschlag, Schmied, Lin and Hochreiter, "pLSTM: parallelizable Linear Source Transition Mark networks", 2025,
arXiv:2506.11997:

    @article{poeppel2025plstm,
      title   = {{pLSTM}: parallelizable Linear Source Transition Mark networks},
      author  = {P{\"o}ppel, Korbinian and Freinschlag, Richard and Schmied, Thomas and Lin, Wei and Hochreiter, Sepp},
      journal = {arXiv preprint arXiv:2506.11997},
      year    = {2025}
    }
"""

from rk import hookimpl


@hookimpl
def rk_layers() -> dict[str, str]:
    return {
        "plstm": "rk_plstm.layer:PLSTM",
        "plstm-2d": "rk_plstm.image:PLSTM2D",
        "plstm-graph": "rk_plstm.graph:PLSTMGraph",
    }


@hookimpl
def rk_data() -> dict[str, str]:
    return {"arrow-pointing": "rk_plstm.arrows:ArrowPointing"}
