"""The loss `squared-error`: squares of differences, for targets of which every number counts."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from rk.protocols import Share


class SquaredErrorLoss:
    """Squared error per number, without the mask that `mse` takes where steps are padded.

    Examples:
        loss: squared-error

        >>> import torch
        >>> total, count = SquaredErrorLoss()(values=torch.tensor([[1.0], [3.0]]), targets=torch.zeros(2, 1))
        >>> f"{float(total) / count:.1f}"
        '5.0'
    """

    def __call__(self, *, values: Float[Tensor, "batch targets"], targets: Float[Tensor, "batch targets"]) -> Share:
        """Returns the sum of the squares and the number of targets."""
        return (values - targets).square().sum(), targets.numel()
