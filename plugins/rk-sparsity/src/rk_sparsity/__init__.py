"""Sparse networks: masks over any learner's weights, and what can be done with them."""

from rk import hookimpl

RK_TRIAL = {
    "digits-rigl": ("callbacks.0.update_every=1", "callbacks.0.end=0.9"),
    "digits-set": ("callbacks.0.update_every=1", "callbacks.0.end=0.9"),
    "digits-snfs": ("callbacks.0.update_every=1", "callbacks.0.end=0.9"),
    "digits-gradual": ("callbacks.0.update_every=1",),
    "digits-synflow": ("callbacks.0.rounds=3",),
    "digits-ticket": ("search.rounds=1",),
    "digits-ticket-late": ("search.rounds=1",),
    "digits-ticket-low-rate": ("search.rounds=1",),
}
_METHODS = ("gradual", "one-shot", "synflow", "snip", "grasp", "static", "set", "rigl")

RK_EXEMPT = {
    **{
        f"recipe-takes-two-steps:digits-{method}-{percent}": f"digits-{method} with another density"
        for method in _METHODS
        for percent in (5, 10)
    },
    **{
        f"recipe-takes-two-steps:digits-ticket{kind}": "a step is a whole training; the plugin's tests take small ones"
        for kind in ("", "-late", "-low-rate")
    },
}


@hookimpl
def rk_callbacks() -> dict[str, str]:
    return {
        "prune": "rk_sparsity.prune:Prune",
        "gradual-pruning": "rk_sparsity.gradual:GradualPruning",
        "dynamic-sparsity": "rk_sparsity.dynamic:DynamicSparsity",
        "n-of-m": "rk_sparsity.n_of_m:NOfM",
        "given-masks": "rk_sparsity.given:GivenMasks",
    }


@hookimpl
def rk_analyses() -> dict[str, str]:
    return {"lottery-ticket": "rk_sparsity.lottery:LotteryTicket", "sparsity-curve": "rk_sparsity.curve:SparsityCurve"}


@hookimpl
def rk_searches() -> dict[str, str]:
    return {"lottery-ticket": "rk_sparsity.ticket_search:TicketSearch"}


@hookimpl
def rk_exporters() -> dict[str, str]:
    return {"sparse-safetensors": "rk_sparsity.export:SparseSafetensors"}
