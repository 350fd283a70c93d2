"""Noise schedules: how much of the label is left at time t. Here t = 0 is noise and t = 1 the label, as in the paper.

``abar`` is the paper's alpha-bar; it INCREASES with t, unlike in most of the literature on diffusion. A label embedding
u is noised to ``sqrt(abar) u + sqrt(1 - abar) eps``; the signal-to-noise ratio is ``abar / (1 - abar)``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

Times = Float[Tensor, "*n"]


class NoiseSchedule(nn.Module, ABC):
    """The logarithm of the signal-to-noise ratio as a function of the time, with its derivative."""

    @abstractmethod
    def log_snr(self, t: Times) -> Times:
        """Returns log SNR(t)."""

    @abstractmethod
    def log_snr_rate(self, t: Times) -> Times:
        """Returns the derivative of `log_snr` by the time."""

    def abar(self, t: Times) -> Times:
        """Returns alpha-bar."""
        return self.log_snr(t).sigmoid()

    def snr_rate(self, t: Times) -> Times:
        """Returns SNR'(t), the weight of Eq. 9."""
        return self.log_snr(t).exp() * self.log_snr_rate(t)


class Cosine(NoiseSchedule):
    """``abar = sin^2(pi/2 (m + (1 - 2m) t))``, with a margin m that keeps both ends open.

    The paper names "cosine", without a formula. With m = 0 the ratio would be infinite at the end, and so would the
    weight of the last block.

    Args:
        margin: Share of the quarter wave that is left out at each end.
    """

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def _angle(self, t: Times) -> Times:
        return math.pi / 2 * (self.margin + (1 - 2 * self.margin) * t)

    def log_snr(self, t: Times) -> Times:
        return 2 * self._angle(t).tan().log()

    def log_snr_rate(self, t: Times) -> Times:
        angle = self._angle(t)
        return math.pi * (1 - 2 * self.margin) / (angle.sin() * angle.cos())


class Linear(NoiseSchedule):
    """``abar = m + (1 - 2m) t``.

    Args:
        margin: What is left of the label at t = 0, and of the noise at t = 1.
    """

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def abar(self, t: Times) -> Times:
        return self.margin + (1 - 2 * self.margin) * t

    def log_snr(self, t: Times) -> Times:
        return self.abar(t).logit()

    def log_snr_rate(self, t: Times) -> Times:
        abar = self.abar(t)
        return (1 - 2 * self.margin) / (abar * (1 - abar))


class MonotoneNet(NoiseSchedule):
    """A learned schedule: -log SNR is a network with positive weights, so that noise never grows (App. B).

    Both ends are learned too. They begin at +-5, which leaves 0.7% of the other side; the paper does not state it.

    Args:
        hidden_size: Hidden units.
        end: Where the ends begin.
    """

    def __init__(self, hidden_size: int = 64, end: float = 5.0) -> None:
        super().__init__()
        # Steps spread over the times, rates of about 1: the network begins as a nearly straight line.
        self.rate = nn.Parameter(torch.full((hidden_size,), _inverse_softplus(4.0)))
        self.place = nn.Parameter(torch.linspace(0, 1, hidden_size))
        self.height = nn.Parameter(torch.full((hidden_size,), _inverse_softplus(1.0)))
        self.low = nn.Parameter(torch.tensor(-end))
        self.high = nn.Parameter(torch.tensor(end))

    def _raw(self, t: Times) -> tuple[Tensor, Tensor]:
        """Returns the network's value at `t` and its slope."""
        rate, height = F.softplus(self.rate), F.softplus(self.height)
        steps = (rate * (t.unsqueeze(-1) - self.place)).sigmoid()
        return (steps * height).sum(-1), (steps * (1 - steps) * rate * height).sum(-1)

    def _scaled(self, t: Times) -> tuple[Tensor, Tensor]:
        """Returns the network's value scaled to go from 0 to 1, and its slope."""
        ends, _ = self._raw(torch.tensor([0.0, 1.0], dtype=t.dtype, device=t.device))
        value, slope = self._raw(t)
        span = ends[1] - ends[0]
        return (value - ends[0]) / span, slope / span

    def log_snr(self, t: Times) -> Times:
        # App. B: gamma(t) = g0 + (g1 - g0)(1 - gbar(t)), SNR = exp(-gamma)
        return -(self.low + (self.high - self.low) * (1 - self._scaled(t)[0]))

    def log_snr_rate(self, t: Times) -> Times:
        return (self.high - self.low) * self._scaled(t)[1]


class Step(NamedTuple):
    """The coefficients of Eq. 3: ``z_t = a u + b z_{t-1} + sqrt(c) eps``."""

    a: Tensor
    b: Tensor
    c: Tensor


def sde_step(before: Tensor, after: Tensor) -> Step:
    """Returns Eq. 3's step between two values of alpha-bar: a sample of the posterior of z_t given z_{t-1} and u."""
    alpha = before / after
    left = 1 - before
    return Step(after.sqrt() * (1 - alpha) / left, alpha.sqrt() * (1 - after) / left, (1 - after) * (1 - alpha) / left)


def ode_step(before: Tensor, after: Tensor) -> Step:
    """Returns the step without noise that has the same marginals (Song et al., arXiv:2010.02502, Eq. 12, sigma = 0)."""
    b = ((1 - after) / (1 - before)).sqrt()
    return Step(after.sqrt() - b * before.sqrt(), b, torch.zeros_like(b))


def noised(u: Tensor, abar: Tensor) -> Tensor:
    """Returns a sample of q(z_t | y): label embeddings `u` with noise; `abar` is broadcast against them."""
    return abar.sqrt() * u + (1 - abar).sqrt() * torch.randn_like(u)


def prior_divergence(u: Float[Tensor, "batch z"], abar: Tensor) -> Float[Tensor, "batch"]:
    """Returns KL(q(z_0 | y) || N(0, I)), a term of Eq. 8, in closed form for each row."""
    return (abar * u.square().sum(-1) - u.shape[-1] * (abar + torch.log1p(-abar))) / 2


def _inverse_softplus(value: float) -> float:
    return math.log(math.expm1(value))
