"""Strain test: what is learned is a text, by a search without gradients."""

from rk import hookimpl


@hookimpl
def rk_data():
    return {"sums": "rk_strain_programs.data:Sums"}


@hookimpl
def rk_searches():
    return {"climb": "rk_strain_programs.climb:Climb"}
