"""Hyperparameter sweeps over any recipe: the analysis `sweep`."""

from rk import hookimpl


@hookimpl
def rk_analyses() -> dict[str, str]:
    return {"sweep": "rk_sweep.sweep:Sweep"}
