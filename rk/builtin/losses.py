"""Losses as sums and counts."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Lt
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from rk.protocols import Share


class CrossEntropy:
    """Cross-entropy of a class per position.

    Args:
        ignore_index: Targets of this value count for nothing (padding).
        label_smoothing: Share of the probability that is spread over all classes.
    """

    def __init__(self, ignore_index: int = -100, label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0) -> None:
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def __call__(
        self, *, logits: Float[Tensor, "batch *positions classes"], targets: Int[Tensor, "batch *positions"]
    ) -> Share:
        """Returns the summed loss and the number of targets that count."""
        total = functional.cross_entropy(
            logits.flatten(0, -2),
            targets.flatten(),
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            reduction="sum",
        )
        return total, (targets != self.ignore_index).sum()


class MeanSquaredError:
    """Squared error per number."""

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
            return error.sum(), torch.tensor(error.numel(), device=error.device)
        return (error * mask).sum(), mask.sum()
