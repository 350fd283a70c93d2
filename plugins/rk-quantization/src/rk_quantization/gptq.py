"""GPTQ: the columns of a weight are rounded one after the other, and those that are left make up for the error."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rk_quantization.grids import Grid, UniformGrid
from rk_quantization.reconstruction import Layer
from rk_quantization.scheme import Layout

DAMPING = 0.01
"""What is added to the Hessian's diagonal, as a share of its mean (GPTQ, Sec. 3.3)."""
BLOCK = 128
"""Columns that are finished before the rest of the weight is moved (GPTQ, Eq. 4 and 5)."""


@torch.no_grad()
def gptq(layer: Layer, layout: Layout, grid: Grid, weight: Tensor, seen: Sequence[Tensor]) -> Tensor:
    """Rounds a layer's weight so that its outputs change least, by second-order information (arXiv:2210.17323).

    GPTQ, Eq. 1: min ||W X - W~ X||^2, whose Hessian, for each row of W, is H = 2 X X^T. The scales are those of the
    weight as it was. Works on linear layers and on convolutions, whose X are their patches.

    Args:
        layer: The layer, whose outputs have the weight's first axis as channels.
        layout: Which entries share a scale.
        grid: Uniform levels.
        weight: (channels, ...).
        seen: Inputs of the layer.

    Returns:
        Codes of (rows, columns), as `layout.rows` has them.
    """
    assert isinstance(grid, UniformGrid)
    wide = (len(grid.scale), weight.numel() // len(grid.scale))
    scale, zero = (layout.weight(x.double().expand(wide)).reshape(len(weight), -1) for x in (grid.scale, grid.zero))
    matrix = weight.reshape(len(weight), -1).double()
    codes = torch.empty_like(matrix)
    for part, hessian in enumerate(hessians(layer, weight, seen)):
        per = len(weight) // layer.groups
        rows = slice(part * per, (part + 1) * per)
        codes[rows] = rounded(matrix[rows], hessian, scale[rows], zero[rows], grid.low, grid.high)
    return layout.rows(codes.reshape(weight.shape)).to(torch.int16)


def hessians(layer: Layer, weight: Tensor, seen: Sequence[Tensor]) -> Tensor:
    """Returns H = 2 X X^T over all inputs (GPTQ, Eq. 1), (groups, columns, columns), float64."""
    size = weight[0].numel()
    total = torch.zeros(layer.groups, size, size, dtype=torch.float64, device=weight.device)
    pick = torch.eye(size, dtype=weight.dtype, device=weight.device).repeat(layer.groups, 1)
    for x in seen:
        # kernels that pick one number of a patch each: so padding, strides and dilation are the layer's own
        patches = x if layer.channel == -1 else layer.apply(x, pick.view(-1, *weight.shape[1:]))
        flat = patches.movedim(layer.channel, -1).reshape(-1, layer.groups, size).double()
        total += 2 * torch.einsum("ngi,ngj->gij", flat, flat)
    return total


def rounded(matrix: Tensor, hessian: Tensor, scale: Tensor, zero: Tensor, low: int, high: int) -> Tensor:
    """Rounds a matrix column by column (GPTQ, Algorithm 1).

    GPTQ, Eq. 2: column q is rounded, and the columns after it move by -(w_q - quant(w_q)) / [H^-1]_qq H^-1_q,:. The
    rows of H^-1 that Eq. 3 would find one after the other are those of its upper Cholesky factor, up to a factor that
    cancels. Columns beyond a block move when the block is done (Eq. 4 and 5).

    Args:
        matrix: (rows, columns), float64.
        hessian: (columns, columns), positive semidefinite; `DAMPING` makes it definite.
        scale: (rows, columns), the step of each entry.
        zero: (rows, columns), the code of 0.
        low: The lowest code.
        high: The highest code.

    Returns:
        Codes of (rows, columns), float64.
    """
    left, codes = matrix.clone(), torch.empty_like(matrix)
    upper = inverse_factor(damped(hessian))
    for start in range(0, matrix.shape[1], BLOCK):
        stop = min(start + BLOCK, matrix.shape[1])
        errors = torch.empty_like(left[:, start:stop])
        for q in range(start, stop):
            codes[:, q] = (torch.round(left[:, q] / scale[:, q]) + zero[:, q]).clamp(low, high)
            error = (left[:, q] - (codes[:, q] - zero[:, q]) * scale[:, q]) / upper[q, q]
            left[:, q:stop] -= error[:, None] * upper[q, q:stop]
            errors[:, q - start] = error
        left[:, stop:] -= errors @ upper[start:stop, stop:]
    return codes


def damped(hessian: Tensor) -> Tensor:
    """Returns the Hessian with `DAMPING` of its mean diagonal added to the diagonal; the identity where it is 0."""
    mean = hessian.diagonal().mean()
    return hessian + torch.eye(len(hessian), dtype=hessian.dtype, device=hessian.device) * (
        DAMPING * mean if mean > 0 else 1.0
    )


def inverse_factor(hessian: Tensor) -> Tensor:
    """Returns U, upper triangular, with H^-1 = U^T U: its rows replace the eliminations of GPTQ, Eq. 3."""
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
    return torch.linalg.cholesky(inverse, upper=True)
