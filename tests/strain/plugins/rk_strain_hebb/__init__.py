"""Strain test: a Hebbian rule. Weights grow where input and class are active together; there is no gradient."""

from rk import hookimpl


@hookimpl
def rk_trainers():
    return {"hebb": "rk_strain_hebb.trainer:Hebb"}
