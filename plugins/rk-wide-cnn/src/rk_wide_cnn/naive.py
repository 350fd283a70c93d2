"""The kernel of images entry by entry, patch by patch, as the recursion reads: what the fast one is compared with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from rk_kernels.naive import relu_pair
from torch import Tensor


def image_ntk(x: Tensor, y: Tensor, sides: Sequence[int], normalise: bool = False) -> float:
    """Returns the hierarchical NTK of two images of (channels, height, width), by recursion from the read-out.

    Args:
        x: An image.
        y: Another one.
        sides: s_1 ... s_L.
        normalise: Divides each patch by its norm.
    """
    block = int(torch.tensor(list(sides)).prod())
    tops = [(i, j) for i in range(0, x.shape[1], block) for j in range(0, x.shape[2], block)]
    units = [_unit(x, y, i, j, list(sides), normalise) for i, j in tops]
    return sum(tangent for _, _, _, tangent in units) / len(units)


def _unit(
    x: Tensor, y: Tensor, row: int, column: int, sides: list[int], normalise: bool
) -> tuple[float, float, float, float]:
    """Returns variances, covariance and tangent kernel after relu of the unit whose patch begins at a pixel."""
    *below, side = sides
    if not below:
        u, v = (image[:, row : row + side, column : column + side].double() for image in (x, y))
        if normalise:
            u, v = u / u.norm(), v / v.norm()
        q11, q12, q22 = float((u * u).sum()), float((u * v).sum()), float((v * v).sum())
        tangent = q12
    else:
        step = int(torch.tensor(below).prod())
        places = [(row + a * step, column + b * step) for a in range(side) for b in range(side)]
        units = [_unit(x, y, i, j, below, normalise) for i, j in places]
        q11, q12, q22, tangent = (sum(values) / len(units) for values in zip(*units, strict=True))
    value, slope = relu_pair(q11, q12, q22)
    return q11, 2 * value, q22, 2 * slope * tangent + 2 * value
