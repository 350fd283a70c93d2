"""The kernel of infinitely wide convolutional networks over images."""

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
from rk_kernels.layers import Convolution, Dense, Flatten, Layer, serial
from rk_kernels.tiles import MEMORY, TEMPORARIES, tiled


class ConvKernel(nn.Module):
    """NNGP or NTK of convolutions of stride 1 that keep the size of the image, then all positions as one vector.

    Novak et al. 2019, arXiv:1810.05148. Its cost grows with the number of pixels: make images small.

    Args:
        input_shape: Of an image: (channels, height, width) or (height, width); a fact of the data.
        depth: Convolutions.
        size: Side of their windows, odd.
        activation: The nonlinearity after each.
        kind: nngp or ntk.
        w_std: Standard deviation of the weights, times the root of the fan-in.
        b_std: Standard deviation of the biases; a 0 stays 0.
        learned: Whether gradients change w_std and b_std.

    Examples:
        trainer: {name: kernel-regression, kernel: {name: conv-kernel, depth: 2, kind: ntk}}

        >>> ConvKernel(input_shape=(4, 4), depth=1)(torch.rand(3, 4, 4)).shape
        torch.Size([3, 3])
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        depth: Annotated[int, Ge(1)] = 4,
        size: Annotated[int, Ge(1)] = 3,
        activation: Activation = "relu",
        kind: Literal["nngp", "ntk"] = "nngp",
        w_std: Annotated[float, Gt(0)] = 1.4,
        b_std: Annotated[float, Ge(0)] = 0.1,
        learned: bool = True,
    ) -> None:
        super().__init__()
        if len(input_shape) not in (2, 3):
            raise ValueError(f"expected images, (channels, height, width) or (height, width), got {tuple(input_shape)}")
        if size % 2 == 0:
            raise ValueError(f"size must be odd, got {size}")
        self.input_shape = tuple(input_shape)
        self.depth = depth
        self.size = size
        self.dual = dual_of(activation)
        self.kind = kind
        self.w_std = Positive(w_std, learned)
        self.b_std = positive_or_zero(b_std, learned)

    def forward(
        self, x1: Float[Tensor, "n1 *shape"], x2: Float[Tensor, "n2 *shape"] | None = None
    ) -> Float[Tensor, "n1 n2"]:
        """Returns the kernel matrix; in tiles where no gradient is needed. Images may be flattened."""
        x1, x2 = self._pixels(x1), None if x2 is None else self._pixels(x2)
        layers = self._layers()

        def kernel(a: Tensor, b: Tensor | None) -> Tensor:
            entered = inner_products(a.movedim(0, 2), None if b is None else b.movedim(0, 2))
            return layers(entered).matrix(self.kind)

        if torch.is_grad_enabled() and any(p.requires_grad for p in self.parameters()):
            return kernel(x1, x2)
        return tiled(kernel, x1, x2, memory=MEMORY, per_entry=TEMPORARIES * x1.shape[1] * x1.shape[2])

    def diagonal(self, x: Float[Tensor, "n *shape"]) -> Float[Tensor, "n"]:
        """Returns each image's variance, without the matrix."""
        variance = self._pixels(x).square().sum(-1).movedim(0, 2)
        return self._layers()(variances(variance)).diagonal(self.kind)

    def _pixels(self, x: Tensor) -> Tensor:
        """Returns (n, height, width, channels), divided by the root of the channels."""
        x = x.double().reshape(x.shape[0], *self.input_shape)
        x = x.unsqueeze(-1) if len(self.input_shape) == 2 else x.movedim(1, -1)
        return x * x.shape[-1] ** -0.5

    def _layers(self) -> Layer:
        convolution = Convolution(self.w_std(), 0.0 if self.b_std is None else self.b_std(), self.size)
        hidden: list[Layer] = [convolution, Nonlinearity(self.dual)]
        return serial(*hidden * self.depth, Flatten(), Dense())
