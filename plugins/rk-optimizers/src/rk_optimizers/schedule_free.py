"""Schedule-free learning: an average in the place of a schedule.

Defazio, Yang, Mehta, Mishchenko, Khaled and Cutkosky, "The Road Less Scheduled", 2024, arXiv:2405.15682. Gradients are
taken at ``y = (1 - beta) z + beta x``, steps are made by ``z``, and ``x``, the average of all ``z``, is the answer
(Eqs. 1 to 3). The learner holds ``y`` while it trains; rk puts ``x`` in its place for validation, tests and files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge, Gt, Lt

if TYPE_CHECKING:
    from torch.optim.optimizer import ParamsT


class ScheduleFreeSGD:
    """Schedule-free SGD. It takes no schedule: a constant rate after the warm-up is the method.

    Args:
        lr: Learning rate; often ten times that of SGD with a schedule.
        momentum: The weight of the average in the point at which gradients are taken (beta).
        weight_decay: L2 penalty, taken at that point.
        warmup_steps: Updates over which the rate rises from near zero.

    Examples:
        trainer: {name: backprop, optimizer: {name: schedule-free-sgd, lr: 1.0, warmup_steps: 50}}
    """

    schedule = None

    def __init__(
        self,
        lr: Annotated[float, Gt(0)] = 1.0,
        momentum: Annotated[float, Gt(0), Lt(1)] = 0.9,
        weight_decay: Annotated[float, Ge(0)] = 0.0,
        warmup_steps: Annotated[int, Ge(0)] = 0,
    ) -> None:
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.warmup_steps = warmup_steps

    def __call__(self, params: ParamsT) -> torch.optim.Optimizer:
        from schedulefree import SGDScheduleFree

        made: torch.optim.Optimizer = SGDScheduleFree(
            params,
            lr=self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            warmup_steps=self.warmup_steps,
        )
        return made


class ScheduleFreeAdamW:
    """Schedule-free AdamW. It takes no schedule: a constant rate after the warm-up is the method.

    Args:
        lr: Learning rate; often one to ten times that of AdamW with a schedule.
        betas: The weight of the average in the point at which gradients are taken, and the decay of the average of the
            squared gradient.
        eps: Added to the denominator.
        weight_decay: Share of each weight that an update takes away, times the learning rate.
        warmup_steps: Updates over which the rate rises from near zero.

    Examples:
        trainer: {name: backprop, optimizer: {name: schedule-free-adamw, lr: 1e-2, warmup_steps: 50}}
    """

    schedule = None

    def __init__(
        self,
        lr: Annotated[float, Gt(0)] = 2.5e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: Annotated[float, Gt(0)] = 1e-8,
        weight_decay: Annotated[float, Ge(0)] = 0.0,
        warmup_steps: Annotated[int, Ge(0)] = 0,
    ) -> None:
        self.lr = lr
        self.betas = betas
        self.eps = eps
        self.weight_decay = weight_decay
        self.warmup_steps = warmup_steps

    def __call__(self, params: ParamsT) -> torch.optim.Optimizer:
        from schedulefree import AdamWScheduleFree

        made: torch.optim.Optimizer = AdamWScheduleFree(
            params,
            lr=self.lr,
            betas=self.betas,
            eps=self.eps,
            weight_decay=self.weight_decay,
            warmup_steps=self.warmup_steps,
        )
        return made
