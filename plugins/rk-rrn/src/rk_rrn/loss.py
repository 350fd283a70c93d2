"""The loss `per-step-cross-entropy`: every step's answer is scored."""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from rk.protocols import Share

StepWeights = Literal["uniform", "last", "linear"]


class PerStepCrossEntropy:
    """Cross-entropy of the answer of each step, averaged over the steps (arXiv:1711.08028, Eq. 5).

    For any model that gives a stack of answers, `step_logits` of (batch, steps, ..., classes): recurrent ones,
    refinement, early exits.

    Args:
        weights: Of the steps: `uniform`; `last` scores the last alone; `linear` gives step t the weight t. They are
            scaled to the sum 1.
        ignore_index: Targets of this value count for nothing (padding); null: every target counts.

    Examples:
        loss: {name: per-step-cross-entropy, weights: linear}

        >>> total, count = PerStepCrossEntropy()(step_logits=torch.zeros(4, 3, 2), targets=torch.tensor([0, 1, 1, 0]))
        >>> f"{total / count:.4f}"
        '0.6931'
    """

    def __init__(self, weights: StepWeights = "uniform", ignore_index: int | None = None) -> None:
        self.weights = weights
        self.ignore_index = ignore_index

    def __call__(
        self,
        *,
        step_logits: Float[Tensor, "batch steps *positions classes"],
        targets: Int[Tensor, "batch *positions"],
    ) -> Share:
        """Returns the summed loss and the number of targets that count."""
        steps = step_logits.shape[1]
        weights = step_weights(self.weights, steps).to(step_logits.device)
        if self.weights == "last":  # the others need not be computed
            step_logits, steps, weights = step_logits[:, -1:], 1, weights[-1:]
        repeated = targets.unsqueeze(1).expand(-1, steps, *targets.shape[1:])
        score = partial(functional.cross_entropy, step_logits.float().flatten(0, -2), repeated.flatten())
        if self.ignore_index is None:
            losses = score(reduction="none")
        else:
            losses = score(reduction="none", ignore_index=self.ignore_index)
        by_step = losses.view(repeated.shape).transpose(0, 1).flatten(1).sum(1)
        counts = targets.numel() if self.ignore_index is None else (targets != self.ignore_index).sum()
        return (by_step * weights).sum(), counts


def step_weights(kind: StepWeights, steps: int) -> Float[Tensor, "steps"]:
    """Returns the weight of each step; their sum is 1."""
    if kind == "uniform":
        return torch.full((steps,), 1 / steps)
    ramp = torch.arange(1.0, steps + 1)
    return ramp / ramp.sum() if kind == "linear" else (ramp == steps).float()
