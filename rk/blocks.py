"""The blocks of a layered model, found in a learner, run in any order or left early: see `rk.Layered`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from rk.capabilities import HasBlocks, HasModel, supports
from rk.errors import UserError
from rk.fit.bind import Bound
from rk.protocols import Layered, Outputs

if TYPE_CHECKING:
    from torch import nn

__all__ = ["layered_of", "run_blocks", "run_exits"]


def layered_of(learner: nn.Module) -> Layered | None:
    """Returns the layered model of a learner: itself, or its ``model``; None where there is none.

    Args:
        learner: The learner of a run.
    """
    candidates: tuple[Any, ...] = (learner, *((learner.model,) if supports(learner, HasModel) else ()))
    found = next((one for one in candidates if supports(one, HasBlocks)), None)
    return cast("Layered | None", found)


def run_blocks(model: Layered, fields: Mapping[str, Any], order: Sequence[int] | None = None) -> Outputs:
    """Answers with some of a model's blocks, in some order.

    Args:
        model: A model with `blocks`, `enter` and `leave`.
        fields: A batch; the model takes the fields that it names.
        order: Numbers of blocks, from 0: one that is left out is skipped, one that comes twice is repeated. By default
            all of them in their order, which is what the model's ``forward`` does.

    Returns:
        What ``forward`` returns.

    Raises:
        UserError: When blocks are skipped or repeated that change the shape, or there is no block of a number.

    Example:
        ``run_blocks(learner.model, batch, [0, 1, 1, 3])``
    """
    chosen = list(range(len(model.blocks))) if order is None else list(order)
    if strange := [i for i in chosen if not 0 <= i < len(model.blocks)]:
        raise UserError(f"there is no block {strange[0]}: the model has {len(model.blocks)}, counted from 0")
    if chosen != list(range(len(model.blocks))) and not model.keeps_shape:
        raise UserError(f"the blocks of {type(model).__name__} change the shape: none can be skipped or repeated")
    hidden, context = Bound(model.enter)(fields)
    for i in chosen:
        hidden = model.blocks[i](hidden, *context)
    leave = Bound(model.leave)
    return model.leave(hidden, **{name: fields[name] for name in leave.names if name in fields})


def run_exits(model: Layered, fields: Mapping[str, Any], depths: Collection[int]) -> Iterator[tuple[int, Outputs]]:
    """Answers after each of some numbers of blocks, all of one pass.

    Args:
        model: A model with `blocks`, `enter` and `leave`.
        fields: A batch; the model takes the fields that it names.
        depths: Numbers of blocks, from 1.

    Yields:
        A number of blocks, in ascending order, and what ``leave`` returns after so many.

    Raises:
        UserError: When the model has fewer blocks, or they change the shape and it is to be left before the last.

    Example:
        ``{depth: outputs["logits"] for depth, outputs in run_exits(learner.model, batch, {2, 4})}``
    """
    count = len(model.blocks)
    if strange := [depth for depth in depths if not 1 <= depth <= count]:
        raise UserError(f"there is no exit after {strange[0]} blocks: the model has {count}")
    if not model.keeps_shape and any(depth < count for depth in depths):
        raise UserError(f"the blocks of {type(model).__name__} change the shape: the model has no early exit")
    hidden, context = Bound(model.enter)(fields)
    leave = Bound(model.leave)
    taken = {name: fields[name] for name in leave.names if name in fields}
    for depth in range(1, max(depths, default=0) + 1):
        hidden = model.blocks[depth - 1](hidden, *context)
        if depth in depths:
            yield depth, model.leave(hidden, **taken)
