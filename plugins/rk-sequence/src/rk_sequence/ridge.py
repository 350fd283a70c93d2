"""Trainer `ridge`: the linear head of a model with fixed features, in closed form."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from rk import Runtime, UserError
from rk.builtin.backprop import Answering
from rk.protocols import Batch, Data, Model

PENALTIES = tuple(10.0**power for power in range(-3, 4))
"""What is tried for the penalty; the one with the smallest leave-one-out error is taken."""


class HasFeatures(Model, Protocol):
    """A model that is a linear head over features that are not trained."""

    head: nn.Linear

    def features(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns (batch, features)."""
        ...


class Ridge:
    """Ridge regression from standardised features onto numbers, or onto -1 and 1 for each class.

    One pass over the training split. The penalty with the smallest leave-one-out error is chosen among 1e-3 to 1e3, as
    in arXiv:1910.13051, Sec. 3.3.

    Examples:
        trainer: ridge
    """

    def __init__(self) -> None:
        self.seen: list[tuple[Tensor, Tensor]] = []

    def setup(self, *, model: HasFeatures, data: Data, runtime: Runtime) -> Answering:
        if runtime.world > 1:
            raise UserError("ridge solves for one matrix: it runs in one process", "fit.devices=1")
        self.data = data
        self.model = model
        self.learner = Answering(model)
        runtime.setup(self.learner)
        return self.learner

    @torch.no_grad()
    def step(self, batch: Batch) -> dict[str, Tensor] | None:
        """Takes the rows of one batch; None when the pass is over."""
        total = self.data.batches("train")
        if total is None:
            raise UserError("ridge takes all training rows, but the training split has no end")
        if len(self.seen) >= total:
            return None
        self.seen.append((self.model.features(batch["inputs"], batch.get("mask")), batch["targets"]))
        return {}

    @torch.no_grad()
    def finish(self) -> None:
        """Solves for the head."""
        if not self.seen:
            return
        features = torch.cat([x for x, _ in self.seen]).double()
        targets = torch.cat([y for _, y in self.seen])
        if not targets.is_floating_point():
            targets = 2 * F.one_hot(targets, self.model.head.out_features) - 1
        weights, bias, self.penalty = solve(features, targets.double())
        self.model.head.weight.copy_(weights.T)
        self.model.head.bias.copy_(bias)

    def results(self) -> dict[str, float]:
        """Returns the penalty that was chosen."""
        return {"penalty": self.penalty} if hasattr(self, "penalty") else {}

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen = [tuple(pair) for pair in state["seen"]]


def solve(
    features: Float[Tensor, "n p"], targets: Float[Tensor, "n k"], penalties: tuple[float, ...] = PENALTIES
) -> tuple[Float[Tensor, "p k"], Float[Tensor, "k"], float]:
    """Returns weights, bias and penalty of the ridge regression with the smallest leave-one-out error.

    With the singular values of the standardised features, the error of each row that is left out is its residual over
    one minus its leverage: no row is left out in fact.

    Args:
        features: One row per example; a column that never changes has no weight.
        targets: What is regressed onto.
        penalties: What is tried.
    """
    mean, spread = features.mean(0), features.std(0, correction=0)
    spread = torch.where(spread > 1e-12 * (1 + mean.abs()), spread, torch.inf)
    center = targets.mean(0)
    u, s, vt = torch.linalg.svd((features - mean) / spread, full_matrices=False)
    projected = u.T @ (targets - center)
    best: tuple[float, float] | None = None
    for penalty in penalties:
        share = s.square() / (s.square() + penalty)
        residual = targets - center - u @ (share.unsqueeze(1) * projected)
        leverage = 1 / len(features) + (u.square() * share).sum(1, keepdim=True)
        error = float((residual / (1 - leverage).clamp(min=1e-9)).square().sum())
        best = min(best or (error, penalty), (error, penalty))
    assert best is not None
    penalty = best[1]
    weights = vt.T @ ((s / (s.square() + penalty)).unsqueeze(1) * projected) / spread.unsqueeze(1)
    return weights, center - mean @ weights, penalty
