"""The layers `relu-features` and `trig-features`: an input and the weights of a unit meet in one dot product only.

Phi maps inputs, Psi maps the weights of a unit, and Psi(w, b) . Phi(x) estimates f(w . x + b), or a kernel beside it
(arXiv:2310.13225). Both share random projections that are drawn once and stay.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated, Literal, Protocol

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from rk import Layer


class FeatureLayer(Layer, Protocol):
    """Maps (..., in_features) to (..., size) without anything that learns, and the weights of units to the same space.

    Attributes:
        size: Numbers of Phi(x), and of Psi(w, b).
    """

    size: int

    def __init__(self, *, in_features: int) -> None: ...

    def forward(self, x: Tensor) -> Tensor:
        """Returns Phi(x), (..., size)."""
        ...

    def of_weights(self, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Returns Psi(w, b) of each unit, (units, size), for weights of (units, in_features)."""
        ...


def projections(rows: int, columns: int, orthogonal: bool) -> Float[Tensor, "rows columns"]:
    """Returns random vectors, each of them N(0, I).

    Args:
        rows: How many vectors.
        columns: Numbers of each.
        orthogonal: Whether vectors of one block, as many as they have numbers, are orthogonal.

    Examples:
        >>> block = projections(3, 3, orthogonal=True)
        >>> (block @ block.T - (block @ block.T).diag().diag()).abs().max() < 1e-5
        tensor(True)
    """
    free = torch.randn(rows, columns)
    if not orthogonal:
        return free
    q, r = torch.linalg.qr(torch.randn(math.ceil(rows / columns), columns, columns))
    rotations = q * r.diagonal(dim1=1, dim2=2).sign().unsqueeze(1)  # uniform over all of them
    return rotations.flatten(0, 1)[:rows] * free.norm(dim=1, keepdim=True)


class _Features(nn.Module):
    """What all feature layers have in common: projections, and the scale of inputs."""

    projection: Tensor

    def __init__(self, in_features: int, random_features: int, orthogonal: bool, normalize: bool, scale: float) -> None:
        super().__init__()
        self.register_buffer("projection", projections(random_features, in_features, orthogonal))
        self.normalize = normalize
        self.scale = scale

    def scaled(self, x: Tensor) -> Tensor:
        """Returns inputs as the projections take them."""
        return self.scale * (functional.normalize(x, dim=-1) if self.normalize else x)

    @abstractmethod
    def of_weights(self, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Returns Psi(w, b) of each unit."""


class ReluFeatures(_Features):
    """ReLU of random projections, for inputs and weights alike: the order-1 arc-cosine kernel of the two.

    The mean of Psi(w) . Phi(x) is not relu(w . x), but |x| |w| (sin t + (pi - t) cos t) / (2 pi), where t is the angle
    between them (Cho and Saul, 2009).

    Args:
        in_features: Numbers of an input.
        random_features: Projections.
        orthogonal: Whether projections are orthogonal in blocks.
        constant: Whether a 1 is added to inputs and the bias to weights; without it, biases are not looked at.
        normalize: Whether inputs are divided by their norm first.
        scale: What inputs are multiplied by; weights are divided by it.

    Examples:
        model: {name: snnk-mlp, features: {name: relu-features, random_features: 256}}

        >>> ReluFeatures(in_features=8, random_features=16)(torch.rand(5, 8)).shape
        torch.Size([5, 16])
    """

    def __init__(
        self,
        *,
        in_features: int,
        random_features: Annotated[int, Ge(1)] = 64,
        orthogonal: bool = False,
        constant: bool = False,
        normalize: bool = False,
        scale: Annotated[float, Gt(0)] = 1.0,
    ) -> None:
        super().__init__(in_features + constant, random_features, orthogonal, normalize, scale)
        self.size = random_features
        self.constant = constant

    def forward(self, x: Float[Tensor, "*rows in_features"]) -> Float[Tensor, "*rows size"]:
        """Returns Phi(x) = max(G x, 0) / sqrt(m)."""
        return self._rectified(self.scaled(x), x.new_ones(1))

    def of_weights(
        self, weight: Float[Tensor, "units in_features"], bias: Float[Tensor, "units"] | None = None
    ) -> Float[Tensor, "units size"]:
        """Returns Psi(w, b) = max(G w, 0) / sqrt(m)."""
        return self._rectified(weight / self.scale, weight.new_zeros(1) if bias is None else bias.unsqueeze(-1))

    def _rectified(self, x: Tensor, last: Tensor) -> Tensor:
        if self.constant:
            x = torch.cat([x, last.expand(*x.shape[:-1], 1)], -1)
        return functional.linear(x, self.projection).relu() * self.size**-0.5


class TrigFeatures(_Features):
    """Universal random features of cos(w . x + b) or sin(w . x + b), whose Fourier transforms are two peaks.

    With rho = i s and eta = 1, and each frequency s = 1 paired with -1, the products are real: Phi has the cosine and
    the sine of each projection. Both activations have the same Phi; they differ in what a unit begins with. The
    variance grows as exp(|x|^2 + |w|^2): large inputs need `normalize` or a small `scale`.

    Args:
        in_features: Numbers of an input.
        random_features: Projections; there are twice as many features.
        activation: What is estimated.
        orthogonal: Whether projections are orthogonal in blocks.
        normalize: Whether inputs are divided by their norm first.
        scale: What inputs are multiplied by; weights are divided by it.
        damping: M of the features exp(-M |g|^2); the estimate is unbiased for each.

    Attributes:
        gain: Logarithm of what each projection is weighted by.

    Examples:
        model: {name: snnk-mlp, features: {name: trig-features, random_features: 256, scale: 0.3}}

        >>> TrigFeatures(in_features=8, random_features=16)(torch.rand(5, 8)).shape
        torch.Size([5, 32])
    """

    gain: Tensor

    def __init__(
        self,
        *,
        in_features: int,
        random_features: Annotated[int, Ge(1)] = 64,
        activation: Literal["cos", "sin"] = "cos",
        orthogonal: bool = False,
        normalize: bool = False,
        scale: Annotated[float, Gt(0)] = 1.0,
        damping: Annotated[float, Ge(0)] = 0.0,
    ) -> None:
        super().__init__(in_features, random_features, orthogonal, normalize, scale)
        self.size = 2 * random_features
        self.activation = activation
        stretch = 1 + 4 * damping
        gain = in_features / 4 * math.log(stretch) - damping * self.projection.square().sum(1)
        self.register_buffer("gain", gain - math.log(random_features) / 2)
        self.projection *= stretch**0.5

    def forward(self, x: Float[Tensor, "*rows in_features"]) -> Float[Tensor, "*rows size"]:
        """Returns Phi(x): exp(|x|^2 / 2) times cosines, then sines, of G x."""
        x = self.scaled(x)
        angles = functional.linear(x, self.projection)
        size = (x.square().sum(-1, keepdim=True) / 2 + self.gain).exp()
        return torch.cat([size * angles.cos(), size * angles.sin()], -1)

    def of_weights(
        self, weight: Float[Tensor, "units in_features"], bias: Float[Tensor, "units"] | None = None
    ) -> Float[Tensor, "units size"]:
        """Returns Psi(w, b): exp(G w - |w|^2 / 2) times the cosine and the sine of the bias."""
        weight = weight / self.scale
        exponent = functional.linear(weight, self.projection) - weight.square().sum(-1, keepdim=True) / 2
        size = (exponent + self.gain).exp()
        phase = weight.new_zeros(len(weight), 1) if bias is None else bias.unsqueeze(-1)
        if self.activation == "cos":  # cos(g x + b) = cos b cos(g x) - sin b sin(g x)
            return torch.cat([size * phase.cos(), -size * phase.sin()], -1)
        return torch.cat([size * phase.sin(), size * phase.cos()], -1)
