"""Strain test: tasks one after the other, given as stages; how much of the first is forgotten is a result."""

from rk import hookimpl


@hookimpl
def rk_trainers():
    return {"in-stages": "rk_strain_tasks.trainer:InStages"}
