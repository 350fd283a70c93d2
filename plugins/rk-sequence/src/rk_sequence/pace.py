"""The value that a growing parameter has at an update or a stage: what all curricula here share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

from annotated_types import Ge

T = TypeVar("T")


def evenly(t: int, first: int, last: int, over: int) -> int:
    """Returns the whole number at `t`, from `first` at 0 evenly to `last` at `over` and after it."""
    done, way = min(t, over), last - first
    return first + (done * way // over if way >= 0 else -(done * -way // over))


def at_stage(t: int, values: Sequence[T]) -> T:
    """Returns the value at `t`: each of `values` for one stage, the last for all that follow."""
    return values[min(t, len(values) - 1)]


@dataclass(frozen=True)
class Evenly:
    """A whole number that moves evenly from stage to stage.

    Attributes:
        first: At stage 0.
        last: From stage `over` on.
        over: Stages in between.
    """

    first: int
    last: int
    over: Annotated[int, Ge(1)]
