"""The layer `image-hierarchical-kernel`: hierarchical kernels over squares of images."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from annotated_types import Ge
from jaxtyping import Float
from rk_kernels.hierarchical_kernel import HierarchicalKernel
from torch import Tensor, nn

from rk_wide_cnn.order import interval_sizes, tree_order


class ImageHierarchicalKernel(nn.Module):
    """NTK or NNGP of a convolutional network on images whose square patches do not overlap. Nothing in it is learned.

    Cagnetta, Favero and Wyart 2023, arXiv:2208.01003, in two dimensions. Pixels are put into the order of the tree of
    patches; the kernel is then `hierarchical-kernel`.

    Args:
        filter_sizes: Sides of the square filters, layer by layer; their product divides height and width.
        input_shape: (height, width) or (channels, height, width); a fact of the data.
        kind: ntk or nngp.
        normalise: Divides each patch by its norm. That is the paper's, for inputs on spheres; it makes noise of dark
            patches as large as the light ones.

    Examples:
        trainer: {name: kernel-regression, kernel: {name: image-hierarchical-kernel, filter_sizes: [2, 4]}}

        >>> import torch
        >>> ImageHierarchicalKernel(filter_sizes=(2, 2), input_shape=(3, 8, 8))(torch.rand(5, 3, 8, 8)).shape
        torch.Size([5, 5])
    """

    order: Tensor

    def __init__(
        self,
        filter_sizes: tuple[Annotated[int, Ge(1)], ...],
        input_shape: tuple[int, ...],
        kind: Literal["ntk", "nngp"] = "ntk",
        normalise: bool = False,
    ) -> None:
        super().__init__()
        self.register_buffer("order", tree_order(input_shape, filter_sizes), persistent=False)
        intervals = interval_sizes(input_shape, filter_sizes)
        self.kernel = HierarchicalKernel(intervals, math.prod(input_shape), kind, normalise)

    def forward(
        self, x1: Float[Tensor, "n1 *shape"], x2: Float[Tensor, "n2 *shape"] | None = None
    ) -> Float[Tensor, "n1 n2"]:
        """Returns the kernel matrix, in tiles."""
        return self.kernel(self._ordered(x1), None if x2 is None else self._ordered(x2))

    def diagonal(self, x: Float[Tensor, "n *shape"]) -> Float[Tensor, "n"]:
        """Returns each input's variance, without the matrix."""
        return self.kernel.diagonal(self._ordered(x))

    def _ordered(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, self.order]
