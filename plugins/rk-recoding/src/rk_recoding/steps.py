"""Sizes of the step on each tensor of a state (arXiv:2101.00674)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Step = Literal["fixed", "learned", "mlp"]


class StepSizes(nn.Module):
    """One step size for each tensor of a state.

    Weights of predictors do not decay.

    Args:
        kind: `fixed`: `scale`. `learned`: `scale` softplus(theta), with theta from U(0, 1) at first. `mlp`: `scale`
            softplus of a perceptron of two hidden layers, 300 and 100 wide, which sees the detached tensor.
        sizes: Numbers of each tensor in one row of a batch.
        scale: Multiplies all.
    """

    def __init__(self, kind: Step, sizes: Sequence[int], scale: float) -> None:
        super().__init__()
        self.kind = kind
        self.scale = scale
        if kind == "learned":
            self.theta = nn.ParameterList(nn.Parameter(torch.rand(())) for _ in sizes)
        elif kind == "mlp":
            self.predictors = nn.ModuleList(
                nn.Sequential(nn.Linear(n, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 1))
                for n in sizes
            )
        for weight in self.parameters():
            weight.no_weight_decay = True  # type: ignore[attr-defined]  # rk reads this mark

    def forward(self, i: int, state: Tensor) -> Tensor | float:
        """Returns the step for tensor number `i` of a state, of (batch, ...): a number, or one for each row."""
        if self.kind == "fixed":
            return self.scale
        if self.kind == "learned":
            return self.scale * F.softplus(self.theta[i])
        predicted = F.softplus(self.predictors[i](state.detach().flatten(1)))
        return self.scale * predicted.view(-1, *[1] * (state.ndim - 1))
