"""Chain of layers: the layers of a frozen model, skipped and repeated for each sample; a predictor of such paths.

Ziyue Li, Yang Li and Tianyi Zhou, "Skip a Layer or Loop it? Test-Time Depth Adaptation of Pretrained LLMs",
arXiv:2507.07996, 2025:

    @article{li2025skip,
      title   = {Skip a Layer or Loop it? Test-Time Depth Adaptation of Pretrained LLMs},
      author  = {Li, Ziyue and Li, Yang and Zhou, Tianyi},
      journal = {arXiv preprint arXiv:2507.07996},
      year    = {2025}
    }

The predictor is that of the authors' second paper, arXiv:2606.06574.
"""

from rk import hookimpl

_WEIGHTS = "it searches SmolLM2, whose weights not every machine has; tiny-quick goes through the same without weights"

_SEARCH_SMOLLM2 = (
    "quick",
    *(f"quick-{rival}" for rival in ("random", "skip", "repeat", "beam", "exhaustive")),
    "search",
)
_LEARN = (
    "it learns from a search over a trained model, minutes long; tests/test_cola_predictor.py trains it on a short one"
)
_LEARNERS = ("search", "quick", "quick-shuffled", "arith", "arith-shuffled")

RK_EXEMPT = {f"recipe-takes-two-steps:arith-{name}": _WEIGHTS for name in _SEARCH_SMOLLM2} | {
    f"recipe-takes-two-steps:predictor-{name}": _LEARN for name in _LEARNERS
}
RK_TRIAL = {"tiny-quick": ("data.num_questions=3", "search.num_simulations=5")}


@hookimpl
def rk_searches() -> dict[str, str]:
    return {"cola": "rk_cola.search:Cola"}


@hookimpl
def rk_models() -> dict[str, str]:
    return {"path-predictor": "rk_cola.predictor:PathPredictor"}


@hookimpl
def rk_losses() -> dict[str, str]:
    return {"segment-operations": "rk_cola.segment_loss:SegmentOperations"}


@hookimpl
def rk_data() -> dict[str, str]:
    return {"searched-paths": "rk_cola.searched_paths:SearchedPaths"}


@hookimpl
def rk_exporters() -> dict[str, str]:
    return {"path": "rk_cola.exporter:PathExporter"}
