"""The values that a sweep may choose for a key: one of a list, or a number from a range."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from rk import UserError


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; whole numbers where both ends are.

    Args:
        low: The smallest.
        high: The largest.
        log: Whether orders of magnitude are equally likely: for rates and weights.
        step: Distance between the numbers, from `low` on; null: 1 for whole numbers, any number otherwise.
    """

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all of its numbers are whole."""
        return isinstance(self.low, int) and isinstance(self.high, int) and not isinstance(self.step, float)

    def numbers(self) -> list[int | float] | None:
        """Returns all numbers; None where there is no step between them."""
        if self.step is None and not self.is_whole:
            return None
        step = self.step or 1
        return [self.low + i * step for i in range(int((self.high - self.low) / step + 1e-9) + 1)]


Space = Mapping[str, Sequence[Any] | Range]
"""Key of the recipe -> what it may be."""


def check(space: Space) -> None:
    """Raises `UserError` for a space in which nothing can be chosen; the message names the key."""
    if not space:
        raise UserError("the space of the sweep is empty", "space: {trainer.optimizer.lr: [1e-3, 1e-2]}")
    for key, values in space.items():
        if not isinstance(values, Range):
            if not values:
                raise UserError(f"space.{key}: the list of values is empty")
        elif values.low > values.high:
            raise UserError(f"space.{key}: low must be at most high, got {values.low} and {values.high}")
        elif values.log and values.low <= 0:
            raise UserError(f"space.{key}: low must be above 0 where log is true, got {values.low}")
        elif values.log and values.step is not None:
            raise UserError(f"space.{key}: step does not go with log", "leave one of them out")
        elif values.step is not None and values.step <= 0:
            raise UserError(f"space.{key}: step must be above 0, got {values.step}")


def grid(space: Space) -> Iterator[dict[str, Any]]:
    """Yields every choice, the last key changing fastest.

    Raises:
        UserError: For a range of numbers without a step.
    """
    columns = []
    for key, values in space.items():
        listed = values.numbers() if isinstance(values, Range) else list(values)
        if listed is None:
            raise UserError(f"space.{key}: a grid needs a step", "give step, or choose the sampler tpe or random")
        columns.append(listed)
    for row in product(*columns):
        yield dict(zip(space, row, strict=True))


def overrides(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns values as a command line gives them, ``key=value``."""
    return tuple(f"{key}={json.dumps(value)}" for key, value in values.items())
