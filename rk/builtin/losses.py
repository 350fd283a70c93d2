"""Losses as sums and counts."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Lt
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from rk.fit.classes import no_class
from rk.protocols import Share

_NO_CLASS = -(2**31)
"""The `ignore_index` given to torch when nothing is ignored: undeclared padding then raises an error."""


class CrossEntropy:
    """Cross-entropy of a class per position.

    Args:
        ignore_index: Targets of this value count for nothing (padding); null: every target counts.
        label_smoothing: Share of the probability that is spread over all classes.

    Examples:
        loss: {name: cross-entropy, ignore_index: -100}

        >>> total, count = CrossEntropy()(logits=torch.zeros(4, 2), targets=torch.tensor([0, 1, 1, 0]))
        >>> f"{total / count:.4f}"
        '0.6931'
    """

    def __init__(self, ignore_index: int | None = None, label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0) -> None:
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def __call__(
        self, *, logits: Float[Tensor, "batch *positions classes"], targets: Int[Tensor, "batch *positions"]
    ) -> Share:
        """Returns the summed loss and the number of targets that count.

        Raises:
            UserError: When a target is not a class. A GPU only stops; `rk.fit.targets` then reports why.
        """
        flat = (logits, targets) if logits.dim() == 2 else (logits.flatten(0, -2), targets.flatten())
        try:
            total = functional.cross_entropy(
                *flat,
                ignore_index=_NO_CLASS if self.ignore_index is None else self.ignore_index,
                label_smoothing=self.label_smoothing,
                reduction="sum",
            )
        except IndexError:
            raise no_class(targets, logits.shape[-1], self.ignore_index) from None
        return total, targets.numel() if self.ignore_index is None else (targets != self.ignore_index).sum()


class MeanSquaredError:
    """Squared error per number.

    Examples:
        loss: mse

        >>> MeanSquaredError()(values=torch.ones(3), targets=torch.zeros(3))
        (tensor(3.), 3)
    """

    def __call__(
        self,
        *,
        values: Float[Tensor, "batch *shape"],
        targets: Float[Tensor, "batch *shape"],
        mask: Bool[Tensor, "batch *shape"] | None = None,
    ) -> Share:
        """Returns the summed squared error and how many numbers it is over; `mask` is True where a number counts."""
        error = (values - targets).square()
        if mask is None:
            return error.sum(), error.numel()
        return (error * mask).sum(), mask.sum()
