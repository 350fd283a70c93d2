"""Where a model of blocks can be left early."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from rk import UserError


def exits_of(model: nn.Module, wanted: Sequence[int] = ()) -> tuple[int, ...]:
    """Returns after how many blocks a model answers, the whole model last.

    Args:
        model: A model of blocks (`rk.Layered`).
        wanted: Numbers of blocks; empty: those of the model's layout (`rk_recursion.layouts.Layout.exits`).

    Raises:
        rk.UserError: When there is no exit before the end, or `wanted` does not ascend to the model's number of blocks.
    """
    layered: Any = model  # Any: a model of whatever plugin, with blocks
    count = len(layered.blocks)
    if not wanted:
        layout = getattr(model, "layout", None)
        wanted = tuple(getattr(layout, "exits", ()))
        if len(wanted) < 2:
            raise UserError(
                f"{type(model).__name__} has no loops that it could be left after",
                "name numbers of blocks: exits: [2, 4, ...]; or let the model cycle: {name: recursive, num_loops: 2}",
            )
    if list(wanted) != sorted(set(wanted)) or wanted[0] < 1 or wanted[-1] != count or len(wanted) < 2:
        raise UserError(f"exits must ascend from 1 or more to {count}, the model's blocks, got {list(wanted)}")
    if not layered.keeps_shape:
        raise UserError(f"the blocks of {type(model).__name__} change the shape: the model has no early exit")
    return tuple(wanted)


def name_of(depth: int) -> str:
    """Returns how metrics and terms call an exit: ``exit-3``."""
    return f"exit-{depth}"
