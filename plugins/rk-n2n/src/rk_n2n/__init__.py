"""N2N learning (arXiv:1709.06030): smaller students of any network whose recipe has lists of sizes."""

from rk import hookimpl

_BRIEF = ("search.rollouts=1", "search.student_steps=2", "search.final_steps=0")
_SMALL_TEACHER = (*_BRIEF, "search.run={recipe: n2n/digits-teacher}", "search.sizes=[model.hidden_sizes]")

RK_TRIAL = {
    "digits-search": (*_BRIEF, "search.final_steps=2"),
    "digits-random": _BRIEF,
    "digits-supernet": (*_BRIEF, "search.supernet_steps=2", "search.compared=0"),
    "conv-full": _SMALL_TEACHER,
    "conv-random": _SMALL_TEACHER,
    "transfer-source": _BRIEF,
    "transfer-full": _BRIEF,
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
