"""N2N learning (arXiv:1709.06030): smaller students of any network whose recipe has lists of sizes."""

from rk import hookimpl

_BRIEF = ("search.rollouts=1", "search.student_steps=2", "search.final_steps=0")

RK_TRIAL = {"digits-search": (*_BRIEF, "search.final_steps=2")}

_WHOLE = "its steps train students at their full number of steps; those of digits-search are taken"
_OTHERS = ("digits-random", "digits-supernet", "conv-full", "conv-random", "transfer-source", "transfer-full")
RK_EXEMPT = {f"recipe-takes-two-steps:{name}": _WHOLE for name in (*_OTHERS, "transfer-none")}


@hookimpl
def rk_models() -> dict[str, str]:
    return {"vgg": "rk_n2n.vgg:VGG"}


@hookimpl
def rk_trainers() -> dict[str, str]:
    return {"distill": "rk_n2n.distill:Distill"}


@hookimpl
def rk_searches() -> dict[str, str]:
    return {"n2n": "rk_n2n.search:N2N"}
