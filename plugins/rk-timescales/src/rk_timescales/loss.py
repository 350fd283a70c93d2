"""The loss `head-cross-entropy`: the cross-entropies of all heads that are asked, added up."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from rk.protocols import Share
from rk_timescales.task import asked_heads


class HeadCrossEntropy:
    """Sum, over the heads that are asked, of the mean cross-entropy over the batch (arXiv:2309.12927).

    A sum and not a mean: with more heads, gradients are larger.

    Examples:
        loss: head-cross-entropy

        >>> total, count = HeadCrossEntropy()(logits=torch.zeros(4, 6), targets=torch.tensor([[0, -100, 1]] * 4))
        >>> f"{total / count:.4f}"  # two heads of ln 2
        '1.3863'
    """

    def __call__(self, *, logits: Float[Tensor, "batch outputs"], targets: Int[Tensor, "batch heads"]) -> Share:
        """Returns the summed loss, and the number of sequences."""
        scores, asked = asked_heads(logits, targets)
        return F.cross_entropy(scores.flatten(0, 1), asked.flatten(), reduction="sum"), len(targets)
