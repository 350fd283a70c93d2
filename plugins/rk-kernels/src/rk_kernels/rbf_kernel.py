"""The squared-exponential kernel, with a length for each feature or one for all."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Gt
from jaxtyping import Float
from torch import Tensor, nn

from rk_kernels.kernel import Positive


class RBFKernel(nn.Module):
    """exp(-|x - x'|^2 / (2 length^2)): the kernel that others are compared with.

    Args:
        length: The length scale where learning begins, in units of the inputs.
        learned: Whether gradients change it.

    Examples:
        model: {name: gaussian-process, kernel: {name: rbf-kernel, length: 2.0}}

        >>> RBFKernel(length=2.0)(torch.zeros(1, 3), torch.zeros(1, 3)).item()
        1.0
    """

    def __init__(self, length: Annotated[float, Gt(0)] = 1.0, learned: bool = True) -> None:
        super().__init__()
        self.length = Positive(length, learned)

    def forward(
        self, x1: Float[Tensor, "*problems n1 features"], x2: Float[Tensor, "*problems n2 features"] | None = None
    ) -> Float[Tensor, "*problems n1 n2"]:
        """Returns the kernel matrix."""
        a = x1.double() / self.length()
        b = a if x2 is None else x2.double() / self.length()
        # |a - b|^2 as a product of matrices; rounding may leave it a little below 0
        distance = a.square().sum(-1)[..., :, None] + b.square().sum(-1)[..., None, :] - 2 * a @ b.mT
        if x2 is None:
            distance = (distance + distance.mT) / 2
            distance = torch.diagonal_scatter(distance, torch.zeros_like(distance[..., 0]), dim1=-2, dim2=-1)
        return torch.exp(-distance.clamp(min=0) / 2)

    def diagonal(self, x: Float[Tensor, "*problems n features"]) -> Float[Tensor, "*problems n"]:
        """Returns ones."""
        return torch.ones_like(x[..., 0], dtype=torch.float64)
