"""Gradients through rounding: the straight-through estimator, and the gradient of a learned step size."""

from __future__ import annotations

import torch
from torch import Tensor

from rk_quantization.grids import Grid, UniformGrid


def straight_through(gradient: Tensor, rows: Tensor, grid: Grid) -> Tensor:
    """Returns the gradient by the weights from that by the rounded weights: 1 within the range, 0 where clipped.

    Args:
        gradient: dL/dr~ of (rows, columns).
        rows: The weights r.
        grid: The levels.
    """
    return gradient * grid.inside(rows)


def step_gradient(gradient: Tensor, rows: Tensor, grid: UniformGrid) -> Tensor:
    """Returns dL/ds of (rows, 1): LSQ (arXiv:1902.08153), Eq. 3, without its factor 1 / sqrt(N Q), which Adam drops.

    dr~/ds is round(r/s) - r/s within the range, and the lowest or the highest code where clipped.

    Args:
        gradient: dL/dr~ of (rows, columns).
        rows: The weights r.
        grid: Uniform levels with zero point 0.
    """
    scaled = rows / grid.scale
    slope = torch.where(grid.inside(rows), torch.round(scaled) - scaled, scaled.clamp(grid.low, grid.high))
    return (gradient * slope).sum(1, keepdim=True)


def first_step(rows: Tensor, high: int) -> Tensor:
    """Returns 2 mean|r| / sqrt(Q) of each row, (rows, 1): LSQ, Sec. 2.1."""
    step = 2 * rows.abs().mean(1, keepdim=True) / max(1, high) ** 0.5
    return torch.where(step > 0, step, torch.ones_like(step))
