"""The kernel of infinitely wide multilayer perceptrons, plain or residual."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float
from torch import Tensor, nn

from rk_kernels.activations import Activation, dual_of
from rk_kernels.covariance import inner_products, variances
from rk_kernels.kernel import Positive, positive_or_zero
from rk_kernels.layers import Activation as Nonlinearity
from rk_kernels.layers import Dense, Layer, Residual, serial
from rk_kernels.tiles import tiled


class MLPKernel(nn.Module):
    """NNGP or NTK of a multilayer perceptron: its covariance at initialisation, or the kernel that it learns with.

    Lee et al. 2018, arXiv:1711.00165; Jacot et al. 2018, arXiv:1806.07572. The last layer has no bias.

    Args:
        depth: Hidden layers.
        activation: The nonlinearity after each.
        kind: nngp or ntk.
        w_std: Standard deviation of the weights, times the root of the fan-in.
        b_std: Standard deviation of the biases; a 0 stays 0.
        last_w_std: That of the last layer's weights; never learned, as a process has its own scale.
        residual: Adds each hidden layer but the first to what enters it.
        learned: Whether gradients change w_std and b_std.

    Examples:
        model: {name: gaussian-process, kernel: {name: mlp-kernel, depth: 4, activation: erf}}

        >>> MLPKernel(depth=2)(torch.randn(3, 5), torch.randn(2, 5)).shape
        torch.Size([3, 2])
    """

    def __init__(
        self,
        depth: Annotated[int, Ge(1)] = 4,
        activation: Activation = "relu",
        kind: Literal["nngp", "ntk"] = "nngp",
        w_std: Annotated[float, Gt(0)] = 1.4,
        b_std: Annotated[float, Ge(0)] = 0.1,
        last_w_std: Annotated[float, Gt(0)] = 1.0,
        residual: bool = False,
        learned: bool = True,
    ) -> None:
        super().__init__()
        self.depth = depth
        self.dual = dual_of(activation)
        self.kind = kind
        self.residual = residual
        self.last_w_std = last_w_std
        self.w_std = Positive(w_std, learned)
        self.b_std = positive_or_zero(b_std, learned)

    def forward(
        self, x1: Float[Tensor, "*problems n1 features"], x2: Float[Tensor, "*problems n2 features"] | None = None
    ) -> Float[Tensor, "*problems n1 n2"]:
        """Returns the kernel matrix; in tiles where no gradient is needed."""
        scale = x1.shape[-1] ** -0.5
        x1, x2 = x1.double() * scale, None if x2 is None else x2.double() * scale
        layers = self._layers()
        if x1.ndim > 2 or (torch.is_grad_enabled() and any(p.requires_grad for p in self.parameters())):
            return layers(inner_products(x1, x2)).matrix(self.kind)
        return tiled(lambda a, b: layers(inner_products(a, b)).matrix(self.kind), x1, x2)

    def diagonal(self, x: Float[Tensor, "*problems n features"]) -> Float[Tensor, "*problems n"]:
        """Returns each input's variance, without the matrix."""
        return self._layers()(variances(x.double().square().mean(-1))).diagonal(self.kind)

    def _layers(self) -> Layer:
        dense = Dense(self.w_std(), 0.0 if self.b_std is None else self.b_std())
        hidden = serial(dense, Nonlinearity(self.dual))
        further = Residual(hidden) if self.residual else hidden
        return serial(hidden, *[further] * (self.depth - 1), Dense(self.last_w_std))
