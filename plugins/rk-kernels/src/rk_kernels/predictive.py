"""Predictive distributions: mixtures of Student-t and Gaussian distributions around one location."""

from __future__ import annotations

import math
from typing import TypedDict

import numpy as np
import torch
from jaxtyping import Float
from scipy import special
from torch import Tensor

HALVINGS = 60
"""Of the bracket of an interval's half width: 60 leave nothing of a float64."""


class PredictiveOutputs(TypedDict):
    """The predictive distribution of a process: with log-weight w_i, Student-t of `degrees`_i around `values` with
    `scales`_i.

    Infinite degrees of freedom are a Gaussian. All targets of an example share the weights.
    """

    values: Float[Tensor, "batch targets"]
    scales: Float[Tensor, "batch targets components"]
    log_weights: Float[Tensor, "batch components"]
    degrees: Float[Tensor, "batch components"]


def log_density(values: Tensor, scales: Tensor, log_weights: Tensor, degrees: Tensor, targets: Tensor) -> Tensor:
    """Returns the log density of each target, (batch, targets)."""
    df = degrees.unsqueeze(1)
    z2 = ((targets - values).unsqueeze(-1) / scales).square()
    finite = torch.where(df.isinf(), 1.0, df)
    student = (
        torch.lgamma((finite + 1) / 2)
        - torch.lgamma(finite / 2)
        - 0.5 * torch.log(math.pi * finite)
        - (finite + 1) / 2 * torch.log1p(z2 / finite)
    )
    gauss = -0.5 * (z2 + math.log(2 * math.pi))
    each = torch.where(df.isinf(), gauss, student) - scales.log()
    return torch.logsumexp(each + log_weights.unsqueeze(1), -1)


def central_probability(
    values: Tensor, scales: Tensor, log_weights: Tensor, degrees: Tensor, targets: Tensor
) -> Tensor:
    """Returns the probability of the central interval that just reaches each target, (batch, targets), on the CPU.

    Over targets from the predictive distribution itself it is uniform: how often it is below p is how often the
    interval of level p covers.
    """
    distance = (targets - values).abs().unsqueeze(-1)
    return _within(distance, *_host(scales, log_weights, degrees))


def half_width(scales: Tensor, log_weights: Tensor, degrees: Tensor, level: float) -> Tensor:
    """Returns the half width of the central interval of probability `level`, (batch, targets), on the CPU."""
    spread, weights, df = _host(scales, log_weights, degrees)
    share = (1 + level) / 2
    finite = np.where(np.isinf(df), 1.0, df)
    each = np.where(np.isinf(df), special.ndtri(share), special.stdtrit(finite, share)) * spread
    low, high = each.min(-1), each.max(-1)  # the mixture's lies between those of its components
    if spread.shape[-1] == 1:
        return torch.from_numpy(high)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        below = _within(torch.from_numpy(middle).unsqueeze(-1), spread, weights, df).numpy() < level
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return torch.from_numpy(high)


def _within(distance: Tensor, scales: np.ndarray, weights: np.ndarray, df: np.ndarray) -> Tensor:
    z = distance.detach().cpu().double().numpy() / scales
    finite = np.where(np.isinf(df), 1.0, df)
    above = np.where(np.isinf(df), special.ndtr(z), special.stdtr(finite, z))
    return torch.from_numpy(((2 * above - 1) * weights).sum(-1))


def _host(scales: Tensor, log_weights: Tensor, degrees: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns scales, weights and degrees as arrays that broadcast: scipy has the distribution functions, torch not."""
    s, w, df = (t.detach().cpu().double() for t in (scales, log_weights.exp().unsqueeze(1), degrees.unsqueeze(1)))
    return s.numpy(), w.numpy(), df.expand(-1, s.shape[1], -1).numpy()
