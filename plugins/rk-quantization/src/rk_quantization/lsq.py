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


def step_gradient(gradient: Tensor, rows: Tensor, grid: UniformGrid) -> tuple[Tensor, Tensor]:
    """Returns dL/dr, and dL/ds of (rows, 1): LSQ (arXiv:1902.08153), Eq. 3, without its factor 1 / sqrt(N Q).

    dr~/ds is round(r/s) - r/s within the range, and the lowest or the highest code where clipped.

    Args:
        gradient: dL/dr~ of (rows, columns).
        rows: The weights r.
        grid: Uniform levels with zero point 0.
    """
    scaled = rows / grid.scale
    clipped = scaled.clamp(grid.low, grid.high)
    inside = scaled == clipped
    slope = clipped.round() - scaled.mul_(inside)
    return gradient * inside, torch.linalg.vecdot(gradient, slope).unsqueeze(1)


def first_step(rows: Tensor, high: int) -> Tensor:
    """Returns 2 mean|r| / sqrt(Q) of each row, (rows, 1): the first step size of LSQ."""
    step = 2 * rows.abs().mean(1, keepdim=True) / max(1, high) ** 0.5
    return torch.where(step > 0, step, torch.ones_like(step))
