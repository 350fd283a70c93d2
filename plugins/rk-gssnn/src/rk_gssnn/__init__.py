"""Symbolic synthesis of neural networks (arXiv:2303.03340): networks with the graphs that programs build.

Whitehouse, "Symbolic Synthesis of Neural Networks", 2023, arXiv:2303.03340:

    @article{whitehouse2023symbolic,
      title   = {Symbolic Synthesis of Neural Networks},
      author  = {Whitehouse, Eli},
      journal = {arXiv preprint arXiv:2303.03340},
      year    = {2023}
    }
"""

from rk import hookimpl

_FEW = ("search.evaluations=4000", "search.population=3", "search.survivors=1")
RK_TRIAL = {
    "raven-baseline": ("data.val_examples=16", "data.test_examples=8"),
    "graphs-quick": _FEW,
    "graphs-plain": _FEW,
    "library-counts": ("evaluations=5000", "seeds=1", "rounds=1", "max_ports=4"),
}

_NETWORKS = "a step trains the networks of an iteration at their full number of steps; graphs-quick is taken"
_LONG = "a step explores for 300,000 evaluations; the other checks of graphs-quick take steps of 4,000"
RK_EXEMPT = {
    "recipe-takes-two-steps:raven-full": _NETWORKS,
    "recipe-takes-two-steps:raven-random": _NETWORKS,
    "recipe-takes-two-steps:graphs-plain": _LONG,
    "recipe-takes-two-steps:graphs-quick": _LONG,
}


@hookimpl
def rk_models() -> dict[str, str]:
    return {"gssnn": "rk_gssnn.model:GSSNN", "pixel-vit": "rk_gssnn.encoder:PixelViT"}


@hookimpl
def rk_layers() -> dict[str, str]:
    return {"graph-dsl": "rk_gssnn.dsl:GraphDsl"}


@hookimpl
def rk_data() -> dict[str, str]:
    return {"arc-rules": "rk_gssnn.arc:ArcRules", "raven-rules": "rk_gssnn.raven:RavenRules"}


@hookimpl
def rk_searches() -> dict[str, str]:
    return {"gssnn": "rk_gssnn.search:SymbolicSynthesis"}


@hookimpl
def rk_analyses() -> dict[str, str]:
    return {"library-counts": "rk_gssnn.counts:LibraryCounts"}
