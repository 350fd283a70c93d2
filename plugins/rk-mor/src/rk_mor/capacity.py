"""The callback `capacity-warmup`: all tokens take all recursions first, and fewer and fewer later."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

from annotated_types import Ge
from torch import nn

from rk import FitContext, UserError
from rk_mor.model import MoR


def slack(step: int, hold_steps: int, warmup_steps: int) -> float:
    """Returns how far capacities are moved towards 1 after so many steps: ``c + slack (1 - c)``.

    It is 1 for `hold_steps`, then half a cosine down to 0 over `warmup_steps`. Without the hold it is the authors'
    ``0.5 (1 + cos(pi min(1, step / W)))``.
    """
    if step < hold_steps:
        return 1.0
    if step - hold_steps >= warmup_steps:
        return 0.0
    return 0.5 * (1 + math.cos(math.pi * (step - hold_steps) / warmup_steps))


def models_of(learner: nn.Module, name: str) -> Iterator[MoR]:
    """Yields the models `mor` within a learner. Raises `UserError` where there is none."""
    found = [module for module in learner.modules() if isinstance(module, MoR)]
    if not found:
        raise UserError(f"{name}: the model is not mor")
    yield from found


class CapacityWarmup:
    """Lets all tokens take all recursions at first, and lowers the capacities of `mor` to their own with a cosine.

    A token that is not chosen does not learn: tokens that are hard early get low gates, are left out, and stay so. With
    a hold, the model learns first and routes later. It counts steps of the optimizer, not calls of the model, so that
    accumulated micro-batches count once, and a resumed run has the capacities of its step.

    Args:
        hold_steps: Steps in which all tokens take all recursions.
        warmup_steps: Steps after these in which capacities fall.

    Examples:
        callbacks: [{name: capacity-warmup, hold_steps: 300, warmup_steps: 400}]
    """

    def __init__(self, hold_steps: Annotated[int, Ge(0)] = 0, warmup_steps: Annotated[int, Ge(0)] = 0) -> None:
        self.hold_steps = hold_steps
        self.warmup_steps = warmup_steps

    def fit_start(self, fit: FitContext) -> None:
        """Sets the capacities of the first step."""
        self._set(fit)

    def after_step(self, fit: FitContext) -> None:
        """Sets those of the next."""
        self._set(fit)

    def _set(self, fit: FitContext) -> None:
        now = slack(fit.step, self.hold_steps, self.warmup_steps)
        for model in models_of(fit.learner, "capacity-warmup"):
            model.warm(now)
