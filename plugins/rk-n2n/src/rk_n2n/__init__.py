"""N2N learning (arXiv:1709.06030): smaller students of any network whose recipe has lists of sizes."""

from rk import hookimpl

_BRIEF = ("search.student_steps=2", "search.final_steps=2", "search.run.overrides=[fit.max_steps=2]")
_SOURCE = (
    "search.policy.overrides=[search.iterations=1,search.student_steps=2,'search.run.overrides=[fit.max_steps=2]']"
)

RK_TRIAL = {
    "digits-search": _BRIEF,
    "digits-random": _BRIEF,
    "digits-supernet": (*_BRIEF, "search.supernet_steps=2", "search.compared=0"),
    "conv-full": _BRIEF,
    "conv-random": _BRIEF,
    "transfer-source": _BRIEF,
    "transfer-full": (*_BRIEF, _SOURCE),
    "transfer-none": _BRIEF,
}


@hookimpl
def rk_models() -> dict[str, str]:
    return {"vgg": "rk_n2n.vgg:VGG"}


@hookimpl
def rk_trainers() -> dict[str, str]:
    return {"distill": "rk_n2n.distill:Distill"}


@hookimpl
def rk_searches() -> dict[str, str]:
    return {"n2n": "rk_n2n.search:N2N"}
