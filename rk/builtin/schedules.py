"""Learning rates as functions of the step. Each may begin with a linear warm-up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le

from rk.errors import UserError


def _warm(warmup_steps: int, step: int) -> float:
    """The share of the rate that the warm-up allows at update `step`."""
    return min(1.0, (step + 1) / (warmup_steps + 1))


def _progress(step: int, total_steps: int | None, warmup_steps: int, name: str) -> float:
    """The progress of the run after its warm-up, from 0 at the first update to 1 at the last."""
    if total_steps is None:
        raise UserError(f"the schedule {name} needs to know how long the run is", "give fit.max_steps")
    return min(1.0, max(0, step - warmup_steps) / max(1, total_steps - warmup_steps - 1))


@dataclass(frozen=True)
class Constant:
    """The same rate throughout.

    Args:
        warmup_steps: Updates over which the rate rises from near zero.

    Examples:
        trainer: {name: backprop, optimizer: {name: adam, schedule: {name: constant, warmup_steps: 100}}}

        >>> Constant()(0.1, step=7, total_steps=None)
        0.1
    """

    warmup_steps: Annotated[int, Ge(0)] = 0

    def __call__(self, lr: float, step: int, total_steps: int | None) -> float:
        return lr * _warm(self.warmup_steps, step)


@dataclass(frozen=True)
class Linear:
    """From the rate down to `end` in a straight line.

    Args:
        end: The rate of the last update.
        warmup_steps: Updates over which the rate rises from near zero.

    Examples:
        trainer: {name: backprop, optimizer: {name: adam, schedule: {name: linear, warmup_steps: 100}}}

        >>> [round(Linear()(0.1, step, total_steps=5), 3) for step in range(5)]
        [0.1, 0.075, 0.05, 0.025, 0.0]
    """

    end: Annotated[float, Ge(0)] = 0.0
    warmup_steps: Annotated[int, Ge(0)] = 0

    def __call__(self, lr: float, step: int, total_steps: int | None) -> float:
        done = _progress(step, total_steps, self.warmup_steps, "linear")
        return (lr + (self.end - lr) * done) * _warm(self.warmup_steps, step)


@dataclass(frozen=True)
class Cosine:
    """From the rate down to `end` along half a cosine (Loshchilov and Hutter, arXiv:1608.03983, without restarts).

    Args:
        end: The rate of the last update.
        warmup_steps: Updates over which the rate rises from near zero.

    Examples:
        trainer: {name: backprop, optimizer: {name: adam, schedule: {name: cosine, end: 0.001}}}

        >>> [round(Cosine()(0.1, step, total_steps=5), 3) for step in range(5)]
        [0.1, 0.085, 0.05, 0.015, 0.0]
    """

    end: Annotated[float, Ge(0)] = 0.0
    warmup_steps: Annotated[int, Ge(0)] = 0

    def __call__(self, lr: float, step: int, total_steps: int | None) -> float:
        done = _progress(step, total_steps, self.warmup_steps, "cosine")
        return (self.end + (lr - self.end) * (1 + math.cos(math.pi * done)) / 2) * _warm(self.warmup_steps, step)


@dataclass(frozen=True)
class Exponential:
    """The rate times `decay` for every `every` updates, smoothly.

    Args:
        decay: Factor.
        every: Updates per factor.
        warmup_steps: Updates over which the rate rises from near zero.

    Examples:
        trainer: {name: backprop, optimizer: {name: adam, schedule: {name: exponential, decay: 0.5, every: 1000}}}

        >>> [Exponential(decay=0.5, every=2)(0.1, step, total_steps=None) for step in (0, 2, 4)]
        [0.1, 0.05, 0.025]
    """

    decay: Annotated[float, Gt(0), Le(1)] = 0.99
    every: Annotated[int, Ge(1)] = 1
    warmup_steps: Annotated[int, Ge(0)] = 0

    def __call__(self, lr: float, step: int, total_steps: int | None) -> float:
        return lr * math.pow(self.decay, step / self.every) * _warm(self.warmup_steps, step)


@dataclass(frozen=True)
class Step:
    """The rate times `decay` at each of some updates.

    Args:
        at: Updates at which the rate drops.
        decay: Factor of each drop.
        warmup_steps: Updates over which the rate rises from near zero.

    Examples:
        trainer: {name: backprop, optimizer: {name: adam, schedule: {name: step, at: [1000, 2000]}}}

        >>> [round(Step(at=[2, 4])(0.1, step, total_steps=None), 4) for step in range(5)]
        [0.1, 0.1, 0.01, 0.01, 0.001]
    """

    at: list[int]
    decay: Annotated[float, Gt(0)] = 0.1
    warmup_steps: Annotated[int, Ge(0)] = 0

    def __call__(self, lr: float, step: int, total_steps: int | None) -> float:
        return lr * self.decay ** sum(step >= mark for mark in self.at) * _warm(self.warmup_steps, step)
