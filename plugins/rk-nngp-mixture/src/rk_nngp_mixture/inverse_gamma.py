"""The inverse-gamma prior, which makes a Gaussian process a Student's t process, in closed form."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Gt
from rk_kernels.kernel import Positive
from rk_kernels.scale import Scales
from torch import Tensor, nn


class InverseGamma(nn.Module):
    """sigma^2 ~ InvGamma(a, b): b^a / Gamma(a) s^(-a-1) exp(-b / s), on the variance of the last layer's weights.

    Its process is Student's t with 2 a degrees of freedom (Lee et al. 2022, arXiv:2107.01408, Theorem 3.2; Shah et al.
    2014, arXiv:1402.4306).

    Args:
        a: Shape where learning begins; below 1, sigma^2 has no mean.
        b: Scale where learning begins.
        learned: Whether gradients change both.

    Examples:
        model: {name: scale-mixture-process, kernel: mlp-kernel, scale: {name: inverse-gamma, a: 2.0, b: 2.0}}

        >>> InverseGamma(a=2.0).posterior(torch.tensor(3.0, dtype=torch.float64), 5).degrees.item()  # 2 a + n
        9.0
    """

    def __init__(
        self, a: Annotated[float, Gt(0)] = 2.0, b: Annotated[float, Gt(0)] = 2.0, learned: bool = True
    ) -> None:
        super().__init__()
        self.a = Positive(a, learned)
        self.b = Positive(b, learned)

    def forward(self, quadratic: Tensor, count: int) -> Tensor:
        """Returns log of the integral of H(s) (2 pi s)^(-n/2) exp(-D / 2s) ds."""
        a, b, half = self.a(), self.b(), count / 2
        return (
            torch.lgamma(a + half)
            - torch.lgamma(a)
            - half * torch.log(2 * math.pi * b)
            - (a + half) * torch.log1p(quadratic / (2 * b))
        )

    def posterior(self, quadratic: Tensor, count: int) -> Scales:
        """Returns Student-t with 2 a + n degrees of freedom: sigma^2 | y ~ InvGamma(a + n/2, b + D/2)."""
        degrees = (2 * self.a() + count).expand_as(quadratic)
        variance = (2 * self.b() + quadratic) / degrees
        return Scales(torch.zeros_like(variance).unsqueeze(-1), variance.unsqueeze(-1), degrees.unsqueeze(-1))
