"""Priors without a closed form, integrated over log sigma^2 by the trapezoid rule.

The paper weighs draws from the prior by importance; its weights degenerate where the data are informative. In t = log
s, the integrand is smooth and falls off on both sides, so that the trapezoid rule converges exponentially: 200 nodes
leave 1e-9, the same each time, and gradients flow through them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from rk_kernels.scale import Scales
from torch import Tensor, nn

DEPTH = 40.0
"""The integral ends where the integrand has fallen by exp(-40) of its largest value."""
WIDE = torch.linspace(-60, 60, 481, dtype=torch.float64)
"""The range in which a prior's mass is looked for, in log s."""
NEAR = torch.linspace(-12, 12, 97, dtype=torch.float64)
"""The same for the likelihood: around log(D / n), in units of sqrt(2 / n), its width."""


class QuadraturePrior(nn.Module, ABC):
    """A prior over sigma^2 by its density.

    Args:
        nodes: Of the trapezoid rule.
    """

    def __init__(self, nodes: int) -> None:
        super().__init__()
        self.nodes = nodes

    @abstractmethod
    def log_density(self, t: Tensor) -> Tensor:
        """Returns the log density of t = log sigma^2, Jacobian included."""

    def forward(self, quadratic: Tensor, count: int) -> Tensor:
        """Returns log of the integral of H(s) (2 pi s)^(-n/2) exp(-D / 2s) ds."""
        t, spacing = self._grid(quadratic.detach(), count)
        return torch.logsumexp(self._integrand(t, quadratic, count), -1) + spacing.log()

    def posterior(self, quadratic: Tensor, count: int) -> Scales:
        """Returns a mixture of Gaussians, one for each node."""
        t, _ = self._grid(quadratic.detach(), count)
        weights = self._integrand(t, quadratic, count).log_softmax(-1)
        return Scales(weights, t.exp(), torch.full_like(t, math.inf))

    def _integrand(self, t: Tensor, quadratic: Tensor, count: int) -> Tensor:
        # -(n/2) log(2 pi s) - D / 2s + log H(s) + log s
        likelihood = -0.5 * count * (t + math.log(2 * math.pi)) - 0.5 * quadratic.unsqueeze(-1) * torch.exp(-t)
        return likelihood + self.log_density(t)

    @torch.no_grad()
    def _grid(self, quadratic: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Returns nodes (..., nodes) over all that matters, evenly spaced in log s, and their spacing (...,)."""
        wide, near = WIDE.to(quadratic.device), NEAR.to(quadratic.device)
        coarse = wide.expand(*quadratic.shape, -1)
        if count:
            peak = (quadratic / count).log().clamp(wide[0], wide[-1]).unsqueeze(-1)
            coarse = torch.cat([coarse, peak + near * math.sqrt(2 / count)], -1).sort(-1).values
        values = self._integrand(coarse, quadratic, count)
        matters = values > values.amax(-1, keepdim=True) - DEPTH
        first = (matters.int().argmax(-1) - 1).clamp(min=0)
        last = (coarse.shape[-1] - matters.flip(-1).int().argmax(-1)).clamp(max=coarse.shape[-1] - 1)
        low, high = (coarse.gather(-1, i.unsqueeze(-1)).squeeze(-1) for i in (first, last))
        steps = torch.linspace(0, 1, self.nodes, dtype=quadratic.dtype, device=quadratic.device)
        spacing = (high - low) / (self.nodes - 1)
        return low.unsqueeze(-1) + (high - low).unsqueeze(-1) * steps, spacing
