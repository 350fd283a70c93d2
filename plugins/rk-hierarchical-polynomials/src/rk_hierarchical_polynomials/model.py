"""The model `three-layer-resnet`: one number between two layers of random features."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Literal, TypedDict

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float
from torch import Tensor, nn

from rk.protocols import Batch

POWERS = {"square": 2, "cube": 3}


class ResNetOutputs(TypedDict):
    """The answer, and the number in the middle."""

    values: Float[Tensor, "batch targets"]
    feature: Float[Tensor, "batch"]


class ThreeLayerResNet(nn.Module):
    """g(x) = sum_j u_j sigma(v_j . x + s_j) / sqrt(m1), and h(x) = g(x) + sum_i c_i relu(a_i z(x) + b_i) / sqrt(m2).

    Wang et al. 2024, arXiv:2311.13774, Sec. 3. v is on the sphere, s normal, a a sign, b uniform; u and c begin at
    zero, so that h = g. z is g, standardised on the rows of each stage of the trainer `stages`: b then covers its
    range. The answer is one number per example.

    Args:
        num_features: d, all input dimensions together.
        inner_size: m1; null: twice the number of monomials up to `degree`.
        outer_size: m2.
        inner_activation: sigma: square for polynomials of degree 2, cube for degree 3.
        offset_range: b is uniform within this many standard deviations of g.

    Examples:
        model: {name: three-layer-resnet, outer_size: 300}

        >>> ThreeLayerResNet(num_features=6)(inputs=torch.randn(5, 6))["values"].shape
        torch.Size([5, 1])
    """

    centre: Tensor
    scale: Tensor

    def __init__(
        self,
        num_features: Annotated[int, Ge(1)],
        inner_size: Annotated[int, Ge(1)] | None = None,
        outer_size: Annotated[int, Ge(1)] = 300,
        inner_activation: Literal["square", "cube", "relu"] = "square",
        offset_range: Annotated[float, Gt(0)] = 4.0,
    ) -> None:
        super().__init__()
        degree = POWERS.get(inner_activation, 2)
        width = 2 * math.comb(num_features + degree, degree) if inner_size is None else inner_size
        self.inner_activation = inner_activation
        v = torch.randn(width, num_features)
        self.v = nn.Parameter(v / v.norm(dim=1, keepdim=True))
        self.s = nn.Parameter(torch.randn(width))
        self.u = nn.Parameter(torch.zeros(width))
        self.a = nn.Parameter(torch.randint(2, (outer_size,)) * 2.0 - 1)
        self.b = nn.Parameter((torch.rand(outer_size) * 2 - 1) * offset_range)
        self.c = nn.Parameter(torch.zeros(outer_size))
        self.register_buffer("centre", torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> ResNetOutputs:
        """Returns the answers, (batch, 1), and g of each example."""
        g = self.feature(inputs)
        z = ((g - self.centre) / self.scale).unsqueeze(1)
        h = g + torch.relu(self.a * z + self.b) @ self.c / math.sqrt(len(self.c))
        return {"values": h.unsqueeze(1), "feature": g}

    def feature(self, inputs: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch"]:
        """Returns g(x): what stage 1 fits, a multiple of the hidden polynomial and small terms."""
        z = inputs.flatten(1) @ self.v.mT + self.s
        z = torch.relu(z) if self.inner_activation == "relu" else z ** POWERS[self.inner_activation]
        return z @ self.u / math.sqrt(len(self.u))

    @torch.no_grad()
    def begin_stage(self, batches: Iterable[Batch]) -> None:
        """Takes mean and deviation of g over the rows of a stage; where g is the same for all, nothing is scaled."""
        g = torch.cat([self.feature(batch["inputs"]) for batch in batches])
        deviation = g.std(correction=0)
        self.centre.copy_(g.mean())
        self.scale.copy_(deviation if deviation > 0 else torch.ones(()))
