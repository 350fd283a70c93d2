"""Strain test: a search over a trained run, for hidden units that it can do without."""

from rk import hookimpl


@hookimpl
def rk_searches():
    return {"prune": "rk_strain_prune.search:Prune"}
