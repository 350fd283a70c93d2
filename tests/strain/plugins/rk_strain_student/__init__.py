"""Strain test: what begins from another run. A small network learns a large one's answers; a network is tuned."""

from rk import hookimpl


@hookimpl
def rk_trainers():
    return {"distill": "rk_strain_student.trainer:Distill"}
