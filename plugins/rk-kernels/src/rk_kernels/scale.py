"""Priors on the scale of a process, sigma^2, and their posteriors.

f | sigma^2 ~ N(0, sigma^2 K). Observations touch the scale only through their number n and D = y' C^-1 y, with C the
covariance at scale 1, noise included: one factorisation serves any prior.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Protocol

import torch
from annotated_types import Gt
from torch import Tensor, nn

from rk.protocols import Layer


@dataclass(frozen=True)
class Scales:
    """A distribution of sigma^2, as the predictive distribution of an observation of variance v at scale 1.

    With weight w_i, that is Student-t with `degrees`_i degrees of freedom and squared scale `variances`_i v.

    Attributes:
        log_weights: (..., components), normalised.
        variances: (..., components).
        degrees: Degrees of freedom, (..., components); infinity: Gaussian.
    """

    log_weights: Tensor
    variances: Tensor
    degrees: Tensor


class ScalePrior(Layer, Protocol):
    """A prior H over sigma^2, as a layer of a process; leading dimensions are separate problems."""

    def forward(self, quadratic: Tensor, count: int) -> Tensor:
        """Returns log of the integral of H(s) (2 pi s)^(-n/2) exp(-D / 2s) ds: the evidence less its determinant.

        Args:
            quadratic: D, (...,).
            count: n; 0 for none.
        """
        ...

    def posterior(self, quadratic: Tensor, count: int) -> Scales:
        """Returns the scale of a further observation, given n observations with quadratic form D."""
        ...


class FixedScale(nn.Module):
    """The scale is known.

    Args:
        value: sigma^2; None: D / n, where the evidence is highest; above 0 even where all observations are 0.

    Examples:
        model: {name: context-process, kernel: rbf-kernel, scale: {name: fixed-scale, value: 1.0}}

        >>> FixedScale(2.0).posterior(torch.tensor(1.0), 5).variances
        tensor([2.])
    """

    def __init__(self, value: Annotated[float, Gt(0)] | None = None) -> None:
        super().__init__()
        self.value = value

    def forward(self, quadratic: Tensor, count: int) -> Tensor:
        s = self._scale(quadratic, count)
        return -0.5 * count * torch.log(2 * math.pi * s) - quadratic / (2 * s)

    def posterior(self, quadratic: Tensor, count: int) -> Scales:
        s = self._scale(quadratic, count).unsqueeze(-1)
        return Scales(torch.zeros_like(s), s, torch.full_like(s, math.inf))

    def _scale(self, quadratic: Tensor, count: int) -> Tensor:
        if self.value is not None or count == 0:
            return torch.full_like(quadratic, 1.0 if self.value is None else self.value)
        return (quadratic / count).clamp(min=torch.finfo(quadratic.dtype).tiny)
