"""The same as the formulas read, unit by unit: what the fast code is compared with."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from rk_single_layer_transformer.feedforward import FeedForward, RidgeSplines


def attention_row(scores: list[float], values: list[float]) -> float:
    """Eq. 1 at one position: the mean of `values` with the softmax of `scores` as weights."""
    weights = [math.exp(s - max(scores)) for s in scores]
    return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)


def expanded(ffn: RidgeSplines, bounds: float) -> FeedForward:
    """Returns ridges as the dense network that they are: W_1 has a row for each knot of each ridge and position.

    Args:
        ffn: The ridges.
        bounds: A number above all values of the ridges, M of Eq. 5.
    """
    d_model = max(ffn.columns.stop, ffn.positions.stop)
    rows, biases, readouts = [], [], []
    steps, outputs = ffn.constant.shape
    for i in range(steps):
        for ridge, direction in enumerate(ffn.directions):
            knots = ffn.knot_positions(ridge)
            values = torch.cos(math.pi * knots)
            slopes = (values[1:] - values[:-1]) / ffn.spacing[ridge]
            changes = torch.cat([slopes[:1], slopes[1:] - slopes[:-1]])
            for knot, change in zip(knots[:-1], changes, strict=True):
                row = torch.zeros(d_model, dtype=torch.float64)
                row[ffn.columns] = direction
                row[ffn.positions.start + i] = bounds
                rows.append(row)
                biases.append(float(ffn.offset[ridge] - knot) - bounds)
                readouts.append(change * ffn.coefficients[ridge, i])
        first = torch.cos(math.pi * ffn.low).unsqueeze(1) * ffn.coefficients[:, i]
        row = torch.zeros(d_model, dtype=torch.float64)
        row[ffn.positions.start + i] = 1
        rows.append(row)
        biases.append(0.0)
        readouts.append(ffn.constant[i] + first.sum(0))
    dense = FeedForward(d_model, len(rows), outputs).double()
    with torch.no_grad():
        dense.hidden.weight.copy_(torch.stack(rows))
        dense.hidden.bias.copy_(torch.tensor(biases, dtype=torch.float64))
        dense.out.weight.copy_(torch.stack(readouts).T)
        dense.out.bias.zero_()
    return dense


def series(coefficients: Tensor, u: Tensor) -> Tensor:
    """Returns sum_k c_k prod_i cos(pi k_i u_i) at one point, term by term."""
    modes = coefficients.shape[0]
    total = torch.zeros_like(coefficients[(0,) * len(u)])
    for k in itertools.product(range(modes), repeat=len(u)):
        product = math.prod(math.cos(math.pi * a * float(b)) for a, b in zip(k, u, strict=True))
        total = total + coefficients[k] * product
    return total


def without_positions(function, axis: Tensor, n: int) -> float:  # type: ignore[no-untyped-def]  # any function of tensors
    """Returns half of the largest |f(pi X) - pi f(X)| over a grid and all permutations (Eq. 10), point by point."""
    worst = 0.0
    for point in itertools.product(axis.tolist(), repeat=n):
        x = torch.tensor(point, dtype=torch.float64).view(1, n, 1)
        plain = function(x)[0]
        for order in itertools.permutations(range(n)):
            moved = function(x[:, list(order)])[0]
            worst = max(worst, float((moved - plain[list(order)]).abs().max()))
    return worst / 2
