"""A network's kernel at any depth and at infinite depth, in logarithms and from gaps 1 - z.

Both ends need care. Near z = 1 the cosine has rounded the distance of two inputs away: a gap keeps its digits, and
layers multiply it by b. Far from it the kernel falls as a^L, or as z^(m^L), below the smallest float: a logarithm does
not.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import torch
from rk_kernels.covariance import Kind
from rk_kernels.series import Hermite
from scipy.interpolate import CubicSpline
from torch import Tensor

LEAST = 1e-32
"""Gaps are at least this: a training input that is asked again answers for itself."""
NODES = 4096
"""Of the spline, over 74 e-folds of the gap."""
FLAT = 1e-18
"""A kernel below it is linear to rounding."""
MOST_LAYERS = 50_000

Signed = tuple[Tensor, Tensor]
"""Logarithm of the absolute value, and sign."""


def log_deep(dual: Hermite, gaps: Tensor, depth: int, kind: Kind = "nngp") -> Signed:
    """Returns log |K_L| and the sign of K_L of the normalised dual, which has no constant term.

    S_0 = z, S_{l+1} = T(S_l), and T_L = S_L r_L with r_0 = 1, r_{l+1} = 1 + r_l S T'(S) / T(S) for the NTK.

    Args:
        dual: Its series T.
        gaps: 1 - z, in [0, 2]; any shape.
        depth: L.
        kind: S_L or T_L.
    """
    shares, m = _shares(dual)
    rest, slopes = shares[m:], [n * p for n, p in enumerate(shares)][m:]
    growth = _growth(shares)
    z, e = 1 - gaps, gaps
    logs, signs, ratio = z.abs().log(), z.sign(), torch.ones_like(z)
    for _ in range(depth):
        quotient = _horner(rest, z)
        quotient = quotient.where(quotient != 0, torch.finfo(z.dtype).tiny)
        if kind == "ntk":
            ratio = 1 + ratio * _horner(slopes, z) / quotient
        logs, signs = m * logs + quotient.abs().log(), signs**m * quotient.sign()
        z, e = _layer(z, e, quotient, m, growth)
    return logs + ratio.abs().log(), signs * ratio.sign()


def log_diagonal(dual: Hermite, depth: int, kind: Kind) -> float:
    """Returns log K_L at z = 1: 0, or for the NTK the logarithm of 1 + b + ... + b^L."""
    if kind == "nngp":
        return 0.0
    b = sum(_growth(_shares(dual)[0]))
    total = 0.0
    for _ in range(depth):  # log(1 + b e^total), without overflow
        total = float(np.logaddexp(0.0, math.log(b) + total))
    return total


def log_singular(dual: Hermite, gaps: Tensor) -> Signed:
    """Returns log |G| and the sign of G = lim S_L / a^L, which is also the limit of T_L over L a^L, the NTK.

    G solves G(T(z)) = a G(z) with slope 1 at 0 (Koenigs' function), and near z = 1 it is R / gap^(alpha/2), with R
    bounded. For z >= 0 it is read from a spline of log(G / z) over the logarithm of the gap.

    Args:
        dual: Its series has a linear term and no constant one.
        gaps: 1 - z, in [0, 2].
    """
    shares, _ = _shares(dual)
    odd = not any(shares[::2])
    above = gaps.where(gaps <= 1, 2 - gaps) if odd else gaps.clamp(max=1)
    logs = (1 - above).abs().log() + _spline(tuple(shares), above)
    signs = (1 - gaps).sign()
    if odd or torch.compiler.is_exporting() or not bool((gaps > 1).any()):
        return logs, signs
    below = gaps > 1
    layers = math.ceil(math.log(FLAT) / math.log(shares[1])) + 1
    negative, negative_signs = log_deep(dual, gaps[below], layers)
    logs[below], signs[below] = negative - layers * math.log(shares[1]), negative_signs
    return logs, signs


def _spline(shares: tuple[float, ...], gaps: Tensor) -> Tensor:
    """Returns log(G / z) at gaps up to 1."""
    coefficients = singular_table(shares).to(gaps)
    place = (gaps.clamp(LEAST, 1.0).log() / -math.log(LEAST) + 1) * (NODES - 1)
    index = place.floor().clamp(max=NODES - 2).long()
    t = place - index
    value = torch.zeros_like(t)
    for order in range(4):
        value = value * t + coefficients[order][index]
    return value


@functools.lru_cache(maxsize=32)
def singular_table(shares: tuple[float, ...]) -> Tensor:
    """Returns the cubics of log(G / z) between `NODES` nodes, even in the logarithm of the gap: (4, nodes - 1)."""
    e = torch.linspace(math.log(LEAST), 0.0, NODES, dtype=torch.float64).exp()
    z, a, growth = 1 - e, shares[1], _growth(shares)
    value = torch.zeros_like(e)
    for _ in range(MOST_LAYERS):
        if float(z.max()) < FLAT:
            break
        quotient = _horner(shares[1:], z)
        value += (quotient / a).log()
        z, e = _layer(z, e, quotient, 1, growth)
    else:
        raise ValueError(f"the activation is too close to linear: {MOST_LAYERS} layers do not reach the limit")
    return torch.from_numpy(CubicSpline(np.arange(NODES), value.numpy()).c.copy())


def _shares(dual: Hermite) -> tuple[list[float], int]:
    """Returns a_n^2 with sum 1, and the lowest n that has one."""
    total = sum(dual.squares)
    return [a / total for a in dual.squares], dual.lowest


def _growth(shares: Sequence[float]) -> list[float]:
    """Returns the coefficients of (1 - T(z)) / (1 - z), none of them negative; their sum is b."""
    return list(np.cumsum(shares[:0:-1])[::-1])


def _layer(z: Tensor, e: Tensor, quotient: Tensor, m: int, growth: Sequence[float]) -> Signed:
    """Returns T(z) and its gap, each from the one of the two that has the digits."""
    gap = e * _horner(growth, z)
    return torch.where(gap < 0.5, 1 - gap, z**m * quotient), gap


def _horner(coefficients: Sequence[float], x: Tensor) -> Tensor:
    value = torch.full_like(x, coefficients[-1])
    for a in reversed(coefficients[:-1]):
        value.mul_(x)
        if a:
            value.add_(a)
    return value
