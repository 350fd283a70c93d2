"""What the construction promises, and what networks without positions or attention cannot reach."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from rk_single_layer_transformer.feedforward import FeedForward, RidgeSplines

UNITS = 2**21
"""Numbers that are held at once: rows times hidden units."""


def copy_error(beta: float, num_steps: int, diameter: float) -> float:
    """Eq. 4: the largest error of a copied number, which is reached: the softmax leaves (n-1) e^-beta to the others.

    Args:
        beta: Inverse temperature of the copy heads.
        num_steps: Positions, n.
        diameter: Largest difference of two inputs.
    """
    leak = (num_steps - 1) * math.exp(-beta)
    return diameter * leak / (1 + leak)


def spline_error(ffn: RidgeSplines) -> float:
    """Eq. 8: a cosine of frequency pi is interpolated within pi^2 h^2 / 8; summed over ridges with their weights."""
    each = math.pi**2 * ffn.spacing.square() / 8
    return float((ffn.coefficients.abs() * each.view(-1, 1, 1)).sum(0).max())


def local_lipschitz(
    ffn: FeedForward | RidgeSplines, x: Float[Tensor, "rows d_model"], columns: slice, radius: float
) -> float:
    """Returns how much an answer can change per largest change of one of `columns`, within `radius` of the rows.

    Of a dense network: a unit that is on in the whole neighbourhood counts with its weights, one whose sign is not
    certain there with their absolute values. So the number is a bound, and tight where the radius is small. Of ridges:
    the bound over all inputs, the sum of their slopes, which are at most pi.

    Args:
        ffn: The network.
        x: What it is given, without an error of copies.
        columns: What may change.
        radius: By how much at most.
    """
    if isinstance(ffn, RidgeSplines):
        slopes = math.pi * ffn.directions.abs().sum(1)
        return float((ffn.coefficients.abs() * slopes.view(-1, 1, 1)).sum(0).max())
    weights = ffn.hidden.weight[:, columns]
    reach = weights.abs().sum(1) * radius
    largest = 0.0
    for part in x.split(max(1, UNITS // len(reach))):
        before = ffn.hidden(part)
        on = (before > reach).to(x.dtype)
        unsure = (before.abs() <= reach).to(x.dtype)
        for readout in ffn.out.weight:
            certain = (on * readout) @ weights
            rest = unsure @ (readout.abs() * weights.abs().sum(1))
            largest = max(largest, float((certain.abs().sum(1) + rest).max()))
    return largest


def without_positions(values: Float[Tensor, "*grid time outputs"], num_features: int) -> tuple[float, float]:
    """Eq. 10: the least sup error and the least RMS error of any network that does not know positions.

    Such a network is equivariant: T(pi X) = pi T(X). Over all permutations of a sequence, f(pi X), permuted back, must
    be answered by one value. Half of its range bounds the sup error, and its deviation from the mean the RMS error.

    Args:
        values: f on a grid with the same points along each of its ``time * num_features`` axes, float64.
        num_features: Axes of a step.
    """
    n = values.shape[-2]
    m = n * num_features
    low, high = values.clone(), values.clone()
    total, squares = torch.zeros_like(values), torch.zeros_like(values)
    count = 0
    for order in itertools.permutations(range(n)):
        axes = [step * num_features + k for step in order for k in range(num_features)]
        # f of the permuted sequence, its answers put back into the order of the sequence itself
        found = values.permute(*axes, m, m + 1)[..., list(order), :]
        low, high = torch.minimum(low, found), torch.maximum(high, found)
        total, squares, count = total + found, squares + found.square(), count + 1
    variance = (squares / count - (total / count).square()).clamp(min=0)
    return float((high - low).max()) / 2, float(variance.mean().sqrt())


def from_view(
    values: Float[Tensor, "*grid time outputs"], num_features: int, seen: Sequence[Sequence[int]]
) -> tuple[float, float]:
    """Eq. 11: the least sup and RMS errors of any network whose answer at i depends on some of the steps alone.

    Over all inputs that look the same, one value must answer.

    Args:
        values: f on a grid, as for `without_positions`.
        num_features: Axes of a step.
        seen: For each position, the steps that it depends on: its own without attention, those up to it with causal
            attention or a recurrent layer.
    """
    n = values.shape[-2]
    largest, squares = 0.0, 0.0
    for i, steps in enumerate(seen):
        hidden = [s * num_features + k for s in range(n) if s not in steps for k in range(num_features)]
        own = values[..., i, :]
        if not hidden:
            continue
        largest = max(largest, float((own.amax(hidden) - own.amin(hidden)).max()) / 2)
        squares += float((own - own.mean(hidden, keepdim=True)).square().mean())
    return largest, math.sqrt(squares / n)
