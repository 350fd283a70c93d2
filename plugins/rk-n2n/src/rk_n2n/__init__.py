"""N2N learning (arXiv:1709.06030): smaller students of any network whose recipe has lists of sizes."""

from rk import hookimpl

_SMALL = ("search.student_steps=2", "search.final_steps=2", "search.supernet_steps=2", "search.compared=0")

_SEARCHES = ("digits-search", "digits-random", "digits-supernet", "conv-full", "conv-random")
_TRANSFERS = ("transfer-source", "transfer-full", "transfer-none")
RK_TRIAL = dict.fromkeys((*_SEARCHES, *_TRANSFERS), _SMALL)


@hookimpl
def rk_models() -> dict[str, str]:
    return {"vgg": "rk_n2n.vgg:VGG"}


@hookimpl
def rk_trainers() -> dict[str, str]:
    return {"distill": "rk_n2n.distill:Distill"}


@hookimpl
def rk_searches() -> dict[str, str]:
    return {"n2n": "rk_n2n.search:N2N"}
