"""Strain test: a search over a trained run, for hidden units that it does not need; and an analysis of one."""

from rk import hookimpl


@hookimpl
def rk_searches():
    return {"prune": "rk_strain_prune.search:Prune"}


@hookimpl
def rk_analyses():
    return {"unit-use": "rk_strain_prune.analysis:UnitUse"}
