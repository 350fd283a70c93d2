"""Chain of layers: the layers of a frozen language model, skipped and repeated anew for every sample.

Ziyue Li, Yang Li and Tianyi Zhou, "Skip a Layer or Loop it? Test-Time Depth Adaptation of Pretrained LLMs",
arXiv:2507.07996, 2025:

    @article{li2025skip,
      title   = {Skip a Layer or Loop it? Test-Time Depth Adaptation of Pretrained LLMs},
      author  = {Li, Ziyue and Li, Yang and Zhou, Tianyi},
      journal = {arXiv preprint arXiv:2507.07996},
      year    = {2025}
    }
"""

from rk import hookimpl

_WEIGHTS = "the recipes search SmolLM2, which not every machine has; the plugin's tests search models made on the spot"

_BUILD_RECIPES = (
    "recipe-takes-two-steps",
    "resumes-bit-equal",
    "validation-changes-nothing",
    "answers-after-loading-as-before",
    "exports",
    "writes-only-into-the-run",
    "loss-falls",
    "loss-shares-add-up",
    "answers-do-not-depend-on-the-batch",
)

RK_EXEMPT = dict.fromkeys(_BUILD_RECIPES, _WEIGHTS)


@hookimpl
def rk_searches() -> dict[str, str]:
    return {"cola": "rk_cola.search:Cola"}
