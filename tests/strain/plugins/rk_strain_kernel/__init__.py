"""Strain test: kernel ridge regression in closed form. No model, no loss, no optimizer, no steps to count."""

from rk import hookimpl


@hookimpl
def rk_trainers():
    return {"strain-ridge": "rk_strain_kernel.trainer:KernelRidge"}
