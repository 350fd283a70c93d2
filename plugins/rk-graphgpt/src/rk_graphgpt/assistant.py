"""The loss `assistant-tokens`: cross-entropy over the tokens of the assistant's turns."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from rk.protocols import Share


class AssistantTokens:
    """Cross-entropy of each token of the assistant's turns; the human turns count for nothing (GraphGPT, Sec. 3.3).

    Examples:
        loss: assistant-tokens

        >>> total, count = AssistantTokens()(token_logits=torch.zeros(3, 2), token_targets=torch.tensor([0, 1, 1]))
        >>> f"{total / count:.4f}"
        '0.6931'
    """

    def __call__(
        self, *, token_logits: Float[Tensor, "answer_tokens vocab"], token_targets: Int[Tensor, "answer_tokens"]
    ) -> Share:
        """Returns the summed loss and the number of tokens."""
        return functional.cross_entropy(token_logits, token_targets, reduction="sum"), len(token_targets)
