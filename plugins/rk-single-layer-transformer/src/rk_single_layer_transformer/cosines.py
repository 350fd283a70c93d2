"""A ReLU network from a cosine series: coefficients by quadrature, products of cosines as ridges, splines as units."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from rk_single_layer_transformer.feedforward import RidgeSplines
from rk_single_layer_transformer.functions import Function
from rk_single_layer_transformer.hinges import Box, least_squares

MOST_RIDGES = 200_000
"""Ridges beyond which a series is refused: there are (modes + 1)^m of them, times up to 2^(m - 1) signs."""
MOST_POINTS = 2**20
"""Points of the quadrature, over all axes."""
POINTS = 64
"""Points of the quadrature along an axis, where there are not too many axes."""


def quadrature_points(modes: int, m: int) -> int:
    """Returns the points along each of `m` axes: 64, fewer where all together would be too many, but above `modes`."""
    return max(modes + 1, min(POINTS, int(MOST_POINTS ** (1 / m) + 1e-9)))


def cosine_coefficients(
    function: Function, shape: tuple[int, int], modes: int, box: Box
) -> Float[Tensor, "*modes time outputs"]:
    """Eq. 7: the coefficients of ``sum_k c_k prod_i cos(pi k_i u_i)``, by the midpoint rule (a DCT).

    u is z, scaled to [0, 1]. The even extension of a continuous function is continuous, so the series converges.

    Args:
        function: What is expanded.
        shape: Steps and features of its input; z is both, flat.
        modes: The largest frequency along an axis.
        box: Bounds of z.
    """
    n, d = shape
    m = n * d
    low, high = box
    points = quadrature_points(modes, m)
    axis = (torch.arange(points, dtype=torch.float64) + 0.5) / points
    grid = torch.cartesian_prod(*[axis] * m).view(-1, m)
    found = function((low + grid * (high - low)).view(-1, n, d))
    found = found.reshape(*[points] * m, n, found.shape[-1])
    frequency = torch.arange(modes + 1, dtype=torch.float64)
    transform = torch.cos(math.pi * frequency.unsqueeze(1) * axis) * torch.where(frequency > 0, 2.0, 1.0).unsqueeze(1)
    for _ in range(m):  # each pass takes the first of the axes that are left and puts its frequencies behind the others
        found = torch.movedim(torch.tensordot(transform / points, found, dims=([1], [0])), 0, m - 1)
    return found


def fitted_coefficients(
    z: Float[Tensor, "samples m"],
    targets: Float[Tensor, "samples time outputs"],
    modes: int,
    box: Box,
    ridge: float,
) -> Float[Tensor, "*modes time outputs"]:
    """Returns the coefficients of the same series by least squares over samples, where the function is not known."""
    m = z.shape[1]
    u = (z - box[0]) / (box[1] - box[0])
    cosines = torch.cos(math.pi * u.unsqueeze(-1) * torch.arange(modes + 1, dtype=z.dtype, device=z.device))
    features = cosines[:, 0]
    for i in range(1, m):
        features = (features.unsqueeze(-1) * cosines[:, i].unsqueeze(1)).flatten(1)
    found = least_squares(features, targets.flatten(1), ridge)
    return found.view(*[modes + 1] * m, *targets.shape[1:])


def frequencies(modes: int, m: int) -> Iterator[tuple[int, ...]]:
    """Yields all frequency vectors with entries from 0 to `modes`, apart from zero, in order."""
    every = itertools.product(range(modes + 1), repeat=m)
    next(every)
    return every


def ridges_of(frequency: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Eq. 7: a product of q cosines is the mean of cos(pi sum_i s_i k_i u_i) over 2^(q-1) signs; the first is +."""
    signs = [(k, -k) if k else (0,) for k in frequency]
    first = next(i for i, k in enumerate(frequency) if k)
    signs[first] = (frequency[first],)
    return [*itertools.product(*signs)]


def count_ridges(modes: int, m: int) -> int:
    """Returns how many ridges a series has: over q of m axes, (modes^q) products of 2^(q - 1) ridges."""
    return sum(math.comb(m, q) * modes**q * 2 ** (q - 1) for q in range(1, m + 1))


@torch.no_grad()
def write_series(
    ffn: RidgeSplines, coefficients: Float[Tensor, "*modes time outputs"], hinge_spacing: float, box: Box
) -> None:
    """Writes a cosine series as ridges, each interpolated between knots that are at most `hinge_spacing` apart."""
    low, high = box
    m, modes = len(low), coefficients.shape[0] - 1
    rows: list[tuple[int, ...]] = []
    weights: list[Tensor] = []
    for frequency in frequencies(modes, m):
        signed = ridges_of(frequency)
        rows += signed
        weights += [coefficients[frequency] / len(signed)] * len(signed)
    k: Float[Tensor, "ridges m"] = torch.tensor(rows, dtype=torch.float64, device=low.device)
    ffn.directions.copy_(k / (high - low))
    ffn.offset.copy_(-(ffn.directions @ low))
    least, most = k.clamp(max=0).sum(1), k.clamp(min=0).sum(1)
    intervals = ((most - least) / hinge_spacing - 1e-9).ceil().clamp(min=1)
    ffn.low.copy_(least)
    ffn.spacing.copy_((most - least) / intervals)
    ffn.knots.copy_(intervals.long() + 1)
    ffn.coefficients.copy_(torch.stack(weights))
    ffn.constant.copy_(coefficients[(0,) * m])
