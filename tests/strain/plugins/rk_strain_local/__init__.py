"""Strain test: every block learns alone, from a read-out of its own; no gradient crosses a block."""

from rk import hookimpl


@hookimpl
def rk_trainers():
    return {"local-blocks": "rk_strain_local.trainer:LocalBlocks"}


@hookimpl
def rk_callbacks():
    return {"interrupt": "rk_strain_local.interrupt:Interrupt"}
