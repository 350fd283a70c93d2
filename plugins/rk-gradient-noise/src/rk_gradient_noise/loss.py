"""The objective of independent members."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from rk.protocols import Share


class MemberCrossEntropy:
    """Cross-entropy of every member of an ensemble: the sum of the members' means.

    The gradient of a member's parameters is then what it would be if the member were trained alone.

    Examples:
        loss: member-cross-entropy

        >>> logits, targets = torch.zeros(4, 3, 2), torch.tensor([0, 1, 1, 0])
        >>> total, count = MemberCrossEntropy()(member_logits=logits, targets=targets)
        >>> f"{total / count:.4f}"  # three members, log 2 each
        '2.0794'
    """

    def __call__(
        self, *, member_logits: Float[Tensor, "batch members classes"], targets: Int[Tensor, "batch"]
    ) -> Share:
        """Returns the loss summed over examples and members, and the number of examples."""
        repeated = targets.repeat_interleave(member_logits.shape[1])
        return functional.cross_entropy(member_logits.flatten(0, 1), repeated, reduction="sum"), len(targets)
