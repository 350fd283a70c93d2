"""Naive twins: least squares on all rows at once, and descent with the step that always converges."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def ridge_by_lstsq(
    features: Float[Tensor, "rows size"], wanted: Float[Tensor, "rows"], ridge: float
) -> Float[Tensor, "size"]:
    """Returns the solution of `Products.solve`, from the rows themselves: [F; r I] theta = [y; 0], r^2 the ridge."""
    added = (ridge * features.square().sum(0).mean()).sqrt()
    below = added * torch.eye(features.shape[1], dtype=features.dtype)
    rows = torch.cat([features, below])
    right = torch.cat([wanted, wanted.new_zeros(features.shape[1])])
    return torch.linalg.lstsq(rows, right.unsqueeze(1)).solution.squeeze(1)


def descend(
    features: Float[Tensor, "rows size"], wanted: Float[Tensor, "rows"], ridge: float, steps: int
) -> Float[Tensor, "size"]:
    """Returns what Algorithm 1 of arXiv:2311.13774 has after `steps` from zero, at the rate 1 / L.

    L is the largest curvature, found by 30 steps of power iteration.
    """
    added = ridge * features.square().sum(0).mean()
    direction = torch.ones(features.shape[1], dtype=features.dtype)
    for _ in range(30):
        direction = features.mT @ (features @ direction)
        curvature = direction.norm()
        direction = direction / curvature
    theta = torch.zeros_like(direction)
    for _ in range(steps):
        gradient = features.mT @ (features @ theta - wanted) + added * theta
        theta = theta - gradient / (1.05 * curvature + added)
    return theta
