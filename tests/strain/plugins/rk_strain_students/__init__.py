"""Strain test: trainings within a search and an analysis, and a run that is derived from the best of them."""

from rk import hookimpl


@hookimpl
def rk_searches():
    return {"students": "rk_strain_students.search:Students"}


@hookimpl
def rk_analyses():
    return {"widths": "rk_strain_students.analysis:Widths"}
