"""The loss `segment-operations`: boundaries of segments, and what is done to each."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from rk.fields import IGNORED
from rk.protocols import Term


class SegmentOperations:
    """The loss of `path-predictor`: binary cross-entropy of boundaries plus cross-entropy of operations.

    Of an example, the former is the mean over layers, the latter that over the segments, as an operation counts where a
    segment begins alone. Examples have weights.

    Examples:
        loss: segment-operations

        >>> import torch
        >>> terms = SegmentOperations()(
        ...     boundary_logits=torch.zeros(1, 2),
        ...     operation_logits=torch.zeros(1, 2, 3),
        ...     boundaries=torch.tensor([[1.0, 0.0]]),
        ...     operations=torch.tensor([[2, -100]]),
        ...     weights=torch.ones(1),
        ... )
        >>> [f"{float(total / count):.3f}" for total, count in terms.values()]
        ['0.693', '1.099']
    """

    def __call__(
        self,
        *,
        boundary_logits: Float[Tensor, "batch depth"],
        operation_logits: Float[Tensor, "batch depth 3"],
        boundaries: Float[Tensor, "batch depth"],
        operations: Int[Tensor, "batch depth"],
        weights: Float[Tensor, "batch"],
    ) -> dict[str, Term]:
        """Returns the two terms, each a weighted sum over examples, and the sum of the weights."""
        cuts = F.binary_cross_entropy_with_logits(boundary_logits, boundaries, reduction="none").mean(1)
        done = F.cross_entropy(operation_logits.transpose(1, 2), operations, ignore_index=IGNORED, reduction="none")
        chosen = done.sum(1) / (operations != IGNORED).sum(1).clamp(min=1)
        count = weights.sum()
        return {"boundaries": ((weights * cuts).sum(), count), "operations": ((weights * chosen).sum(), count)}
