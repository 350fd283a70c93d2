"""Learning rates as functions of the step. Each may begin with a linear warm-up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from rk.errors import UserError


def _warm(warmup_steps: int, step: int) -> float:
    """The share of the rate that the warm-up allows at update `step`."""
    return min(1.0, (step + 1) / (warmup_steps + 1))


def _progress(step: int, total_steps: int | None, warmup_steps: int, name: str) -> float:
    """The progress of the run after its warm-up, from 0 at the first update to 1 at the last."""
    total = _known(total_steps, name)
    return min(1.0, max(0, step - warmup_steps) / max(1, total - warmup_steps - 1))


def _known(total_steps: int | None, name: str) -> int:
    if total_steps is None:
        raise UserError(f"the schedule {name} needs to know how long the run is", "give fit.max_steps")
    return total_steps


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


@dataclass(frozen=True)
class WarmupStableDecay:
    """Warm-up, then the same rate, then down to `end` over the last share of the run.

    The trapezoid of Zhai et al. (arXiv:2106.04560) and of Hu et al. (MiniCPM, arXiv:2404.06395); the forms of the decay
    are compared by Haegele et al. (arXiv:2405.18392). A run that is given more steps before its decay begins
    follows the longer schedule without a jump.

    Args:
        decay: The share of the run over which the rate falls.
        form: ``linear``; or ``1-sqrt``, which falls as one minus the square root of the progress of the decay.
        end: The rate of the last update.
        warmup_steps: Updates over which the rate rises from near zero.

    Examples:
        trainer: {name: backprop, optimizer: {name: adamw, schedule: {name: wsd, warmup_steps: 100, decay: 0.2}}}

        >>> [round(WarmupStableDecay(decay=0.5)(0.1, step, total_steps=8), 3) for step in range(8)]
        [0.1, 0.1, 0.1, 0.1, 0.1, 0.067, 0.033, 0.0]
    """

    decay: Annotated[float, Gt(0), Le(1)] = 0.2
    form: Literal["linear", "1-sqrt"] = "linear"
    end: Annotated[float, Ge(0)] = 0.0
    warmup_steps: Annotated[int, Ge(0)] = 0

    def __call__(self, lr: float, step: int, total_steps: int | None) -> float:
        total = _known(total_steps, "wsd")
        length = max(1, round(self.decay * total))
        done = min(1.0, max(0, step - (total - length)) / max(1, length - 1))
        fallen = done if self.form == "linear" else math.sqrt(done)
        return (lr + (self.end - lr) * fallen) * _warm(self.warmup_steps, step)


@dataclass(frozen=True)
class OneCycle:
    """Up to the rate, then down far below where it began, both along half a cosine (Smith and Topin, arXiv:1708.07120).

    The rates are those of `torch.optim.lr_scheduler.OneCycleLR` with two phases. The momentum stays as it is.

    Args:
        rise: The share of the run over which the rate rises.
        start_factor: The first rate is the rate divided by this.
        end_factor: The last rate is the first one divided by this.

    Examples:
        trainer: {name: backprop, optimizer: {name: sgd, lr: 0.5, momentum: 0.9, schedule: one-cycle}}

        >>> [round(OneCycle(rise=0.4)(1.0, step, total_steps=6), 4) for step in range(6)]
        [0.04, 0.8193, 0.933, 0.5868, 0.1786, 0.0]
    """

    rise: Annotated[float, Gt(0), Lt(1)] = 0.3
    start_factor: Annotated[float, Ge(1)] = 25.0
    end_factor: Annotated[float, Ge(1)] = 1e4

    def __call__(self, lr: float, step: int, total_steps: int | None) -> float:
        first, last = lr / self.start_factor, _known(total_steps, "one-cycle") - 1
        peak = max(0.0, self.rise * (last + 1) - 1)
        if step < peak:
            return _along_cosine(first, lr, step / peak)
        return _along_cosine(lr, first / self.end_factor, (step - peak) / (last - peak) if last > peak else 0.0)


def _along_cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * done))
