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
