"""Duals of activations: what an infinitely wide layer does to the covariances that enter it.

For pre-activations (u, v) ~ N(0, [[q11, q12], [q12, q22]]), the dual of phi is T = E[phi(u) phi(v)], the covariance of
its outputs, and its slope is E[phi'(u) phi'(v)]. They are tied by dT / dq12 = slope (Price 1958), which the tests use.

Sources of the closed forms: Cho and Saul 2009 (relu; leaky relu follows from it), Williams 1997 (erf), Tsuchida et al.
2021, arXiv:2002.08517 (gelu), Poole et al. 2016 and Daniely et al. 2016 (Hermite series: Mehler's formula).
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]
"""A dual's value and its slope."""


class Dual(Protocol):
    """The dual of one activation. Tensors have any shapes that broadcast; results are differentiable in them."""

    def pair(self, q11: Tensor, q12: Tensor, q22: Tensor) -> Pair:
        """Returns (T, slope) of pre-activations with these variances and this covariance."""
        ...

    def diagonal(self, q: Tensor) -> Pair:
        """Returns (T, slope) where u = v, of variance `q`: exact where `pair` would have to round."""
        ...


class Linear:
    """phi(z) = z."""

    def pair(self, q11: Tensor, q12: Tensor, q22: Tensor) -> Pair:
        return q12, torch.ones_like(q12)

    def diagonal(self, q: Tensor) -> Pair:
        return q, torch.ones_like(q)


class LeakyRelu:
    """phi(z) = z for z >= 0, `slope` z below.

    Args:
        slope: Below zero; 0 is relu, -1 the absolute value.
        scale: phi is multiplied by it. `LeakyRelu.normalised` keeps the variance, as sqrt(2) does for relu.
    """

    def __init__(self, slope: float = 0.0, scale: float = 1.0) -> None:
        self.slope = slope
        self.scale = scale

    @classmethod
    def normalised(cls, slope: float = 0.0) -> LeakyRelu:
        """Returns the one with E[phi(u)^2] = 1 for u ~ N(0, 1)."""
        return cls(slope, math.sqrt(2 / (1 + slope**2)))

    def pair(self, q11: Tensor, q12: Tensor, q22: Tensor) -> Pair:
        sine = safe_sqrt(q11 * q22 - q12.square())  # of the angle, times the two norms
        # The angle by atan2, not acos of a cosine: exact on the diagonal, with finite gradients (Cho and Saul, Eq. 5)
        share = (math.pi - torch.atan2(sine, q12)) / (2 * math.pi)
        step, ramp = share, sine / (2 * math.pi) + q12 * share
        kink, rest = self.scale**2 * (1 - self.slope) ** 2, self.scale**2 * self.slope
        if rest == 0:
            return kink * ramp, kink * step
        return kink * ramp + rest * q12, kink * step + rest

    def diagonal(self, q: Tensor) -> Pair:
        gain = self.scale**2 * (1 + self.slope**2) / 2
        return gain * q, torch.full_like(q, gain)


class Relu(LeakyRelu):
    """phi(z) = max(z, 0)."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__(0.0, scale)

    @classmethod
    def normalised(cls, slope: float = 0.0) -> Relu:
        """Returns sqrt(2) relu: the arc-cosine kernels kappa_1 and kappa_0 on cosines."""
        if slope:
            raise ValueError("relu has slope 0 below zero; take LeakyRelu")
        return cls(math.sqrt(2))


class Erf:
    """phi(z) = erf(z)."""

    def pair(self, q11: Tensor, q12: Tensor, q22: Tensor) -> Pair:
        norms = (1 + 2 * q11) * (1 + 2 * q22)
        return (
            (2 / math.pi) * torch.asin(2 * q12 / norms.sqrt()),
            (4 / math.pi) * (norms - 4 * q12.square()).rsqrt(),
        )

    def diagonal(self, q: Tensor) -> Pair:
        return self.pair(q, q, q)


class Sin:
    """phi(z) = sin(z)."""

    def pair(self, q11: Tensor, q12: Tensor, q22: Tensor) -> Pair:
        apart, along = _waves(q11, q12, q22)
        return (along - apart) / 2, (along + apart) / 2

    def diagonal(self, q: Tensor) -> Pair:
        far = torch.exp(-2 * q)
        return (1 - far) / 2, (1 + far) / 2


class Cos:
    """phi(z) = cos(z)."""

    def pair(self, q11: Tensor, q12: Tensor, q22: Tensor) -> Pair:
        apart, along = _waves(q11, q12, q22)
        return (along + apart) / 2, (along - apart) / 2

    def diagonal(self, q: Tensor) -> Pair:
        far = torch.exp(-2 * q)
        return (1 + far) / 2, (1 - far) / 2


def _waves(q11: Tensor, q12: Tensor, q22: Tensor) -> Pair:
    """Returns E cos(u + v) and E cos(u - v): unlike exp(-.) sinh(.), they overflow nowhere."""
    half = (q11 + q22) / 2
    return torch.exp(-half - q12), torch.exp(-half + q12)


class Gelu:
    """phi(z) = z Phi(z), with Phi the normal distribution function (not the tanh approximation)."""

    def pair(self, q11: Tensor, q12: Tensor, q22: Tensor) -> Pair:
        g1, g2, c2 = 1 + q11, 1 + q22, q12.square()
        gram = g1 * g2
        apart = gram - c2
        root = apart.sqrt()
        angle = torch.asin(q12 / gram.sqrt()) / (2 * math.pi)
        # Tsuchida et al. 2021, Table 1
        bend = q11 * q22 + c2 * (1 - q11 / g1 - q22 / g2)
        value = q12 * (0.25 + angle) + bend / (2 * math.pi * root)
        # d/dq12 of the line above
        slope = (
            0.25
            + angle
            + q12 / (2 * math.pi * root)
            + (2 * q12 * (1 - q11 / g1 - q22 / g2) + bend * q12 / apart) / (2 * math.pi * root)
        )
        return value, slope

    def diagonal(self, q: Tensor) -> Pair:
        return self.pair(q, q, q)


def safe_sqrt(x: Tensor) -> Tensor:
    """Returns the root of x where x > 0, and 0 with gradient 0 elsewhere: sqrt's own is infinite there."""
    positive = x > 0
    return torch.where(positive, x.where(positive, 1.0).sqrt(), 0.0)
