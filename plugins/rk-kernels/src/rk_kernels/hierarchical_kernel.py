"""The kernel of deep convolutional networks with patches that do not overlap, as a layer of kernel machines."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor, nn

from rk_kernels.hierarchical import check_filters, hierarchical, network, patch_variances
from rk_kernels.tiles import TEMPORARIES, tiled


class HierarchicalKernel(nn.Module):
    """NTK or NNGP of a locally connected network whose patches do not overlap. Nothing in it is learned.

    Cagnetta, Favero and Wyart 2023, arXiv:2208.01003; sqrt(2) relu, patches divided by their norms.

    Args:
        filter_sizes: Sizes of the filters, layer by layer; their product divides the size of an input.
        num_features: Numbers per example, all input dimensions together; a fact of the data.
        kind: ntk or nngp.
        normalise: Divides each patch by its norm.

    Examples:
        trainer: {name: kernel-regression, kernel: {name: hierarchical-kernel, filter_sizes: [8, 8]}}

        >>> HierarchicalKernel(filter_sizes=(2, 2), num_features=4)(torch.rand(3, 4)).shape
        torch.Size([3, 3])
    """

    def __init__(
        self,
        filter_sizes: tuple[Annotated[int, Ge(1)], ...],
        num_features: int,
        kind: Literal["ntk", "nngp"] = "ntk",
        normalise: bool = True,
    ) -> None:
        super().__init__()
        check_filters(filter_sizes, num_features)
        self.filter_sizes = tuple(filter_sizes)
        self.kind = kind
        self.normalise = normalise

    def forward(
        self, x1: Float[Tensor, "n1 *shape"], x2: Float[Tensor, "n2 *shape"] | None = None
    ) -> Float[Tensor, "n1 n2"]:
        """Returns the kernel matrix, in tiles."""
        x1, x2 = x1.flatten(1).double(), None if x2 is None else x2.flatten(1).double()

        def kernel(a: Tensor, b: Tensor | None) -> Tensor:
            return hierarchical(a, b, self.filter_sizes, self.kind, normalise=self.normalise)

        count = max(1, x1.shape[1] // self.filter_sizes[0])
        return tiled(kernel, x1, x2, per_entry=TEMPORARIES * count)

    def diagonal(self, x: Float[Tensor, "n *shape"]) -> Float[Tensor, "n"]:
        """Returns each input's variance, without the matrix."""
        x = x.flatten(1).double()
        return network(self.filter_sizes)(patch_variances(x, self.filter_sizes, self.normalise)).diagonal(self.kind)
