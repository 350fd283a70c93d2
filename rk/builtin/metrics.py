"""Metrics as sums and counts."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge
from jaxtyping import Float, Int
from torch import Tensor

from rk.protocols import Share

__all__ = ["Accuracy"]


class Accuracy:
    """Share of examples whose class is among the `top` highest logits.

    Args:
        top: How many guesses an example has.
        ignore_index: Targets of this value count for nothing (padding); null: every target counts.

    Examples:
        metrics: {top5: {name: accuracy, top: 5}}

        >>> hits, count = Accuracy()(logits=torch.eye(3), targets=torch.tensor([0, 1, 0]))
        >>> int(hits), count
        (2, 3)
    """

    def __init__(self, top: Annotated[int, Ge(1)] = 1, ignore_index: int | None = None) -> None:
        self.top = top
        self.ignore_index = ignore_index

    def __call__(
        self, *, logits: Float[Tensor, "batch *positions classes"], targets: Int[Tensor, "batch *positions"]
    ) -> Share:
        """Returns the number of hits and the number of targets that count."""
        hits = (logits.topk(self.top, dim=-1).indices == targets.unsqueeze(-1)).any(-1)
        if self.ignore_index is None:
            return hits.sum(), hits.numel()
        counts = targets != self.ignore_index
        return (hits & counts).sum(), counts.sum()
