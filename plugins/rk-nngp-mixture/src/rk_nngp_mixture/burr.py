"""Priors of the scale with heavier tails than the inverse gamma's; each by quadrature."""

from __future__ import annotations

import math
from typing import Annotated

from annotated_types import Ge, Gt
from rk_kernels.kernel import Positive
from torch import Tensor
from torch.nn import functional

from rk_nngp_mixture.quadrature import QuadraturePrior


class Burr(QuadraturePrior):
    """sigma^2 ~ Burr XII(c, d): c d s^(c-1) / (1 + s^c)^(d+1), the paper's second prior.

    Args:
        c: First shape where learning begins.
        d: Second shape where learning begins; moments exist below c d.
        learned: Whether gradients change both.
        nodes: Of the quadrature.

    Examples:
        model: {name: scale-mixture-process, kernel: mlp-kernel, scale: {name: burr, c: 2.0, d: 1.0}}

        >>> Burr(nodes=200).posterior(torch.tensor(3.0, dtype=torch.float64), 5).variances.shape
        torch.Size([200])
    """

    def __init__(
        self,
        c: Annotated[float, Gt(0)] = 2.0,
        d: Annotated[float, Gt(0)] = 1.0,
        learned: bool = True,
        nodes: Annotated[int, Ge(32)] = 200,
    ) -> None:
        super().__init__(nodes)
        self.c = Positive(c, learned)
        self.d = Positive(d, learned)

    def log_density(self, t: Tensor) -> Tensor:
        """Returns the log density of t = log sigma^2."""
        c, d = self.c(), self.d()
        return c.log() + d.log() + c * t - (d + 1) * functional.softplus(c * t)  # 1 + s^c without overflow


class HalfCauchy(QuadraturePrior):
    """sigma ~ half-Cauchy: the usual weak prior of a standard deviation (Gelman 2006).

    Args:
        width: Its median where learning begins.
        learned: Whether gradients change it.
        nodes: Of the quadrature.

    Examples:
        model: {name: scale-mixture-process, kernel: mlp-kernel, scale: {name: half-cauchy, width: 1.0}}

        >>> HalfCauchy(nodes=200)(torch.tensor(3.0, dtype=torch.float64), 5).shape  # the evidence of 5 rows with D = 3
        torch.Size([])
    """

    def __init__(
        self, width: Annotated[float, Gt(0)] = 1.0, learned: bool = True, nodes: Annotated[int, Ge(32)] = 200
    ) -> None:
        super().__init__(nodes)
        self.width = Positive(width, learned)

    def log_density(self, t: Tensor) -> Tensor:
        """Returns the log density of t = log sigma^2: sigma / (pi w (1 + (sigma / w)^2)), with w the width."""
        shifted = t - 2 * self.width().log()
        return shifted / 2 - math.log(math.pi) - functional.softplus(shifted)
