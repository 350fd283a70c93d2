"""What models from sequence to sequence share: the answer that is written token by token, greedily."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from rk.fields import IGNORED
from rk.protocols import Model

END = 0
"""The token that ends an answer, and the one before its first; the tokens of answers count from 1."""

Step = Callable[[Int[Tensor, "batch 1"], Any], tuple[Float[Tensor, "batch 1 tokens"], Any]]
"""The last token and the state before it -> the scores of the next one, and the state after it."""


class CrossAttends(Model, Protocol):
    """A model from sequence to sequence whose answer attends to the input, and which shows how."""

    def cross_attention(
        self, *, tokens: Tensor, targets: Tensor, lengths: Tensor | None = None
    ) -> Float[Tensor, "batch layers heads target_time time"]:
        """Returns where each token of the answer looks, given those before it; rows sum to 1."""
        ...


def before(targets: Int[Tensor, "batch time"]) -> Int[Tensor, "batch time"]:
    """Returns the token before each token of the answers: `END` before the first, and in place of padding."""
    return F.pad(targets, (1, -1), value=END).clamp(min=END)


def present(tokens: Int[Tensor, "batch time"], lengths: Int[Tensor, "batch"] | None) -> Bool[Tensor, "batch time"]:
    """Returns which tokens of the inputs exist: all, without lengths."""
    if lengths is None:
        return torch.ones_like(tokens, dtype=torch.bool)
    return torch.arange(tokens.shape[1], device=tokens.device) < lengths.unsqueeze(1)


def greedy(
    step: Step, state: Any, rows: int, max_answer: int, device: torch.device | None = None
) -> Int[Tensor, "rows answer_time"]:
    """Writes answers, the likeliest token at each step, until each has ended.

    Args:
        step: The decoder.
        state: What the first step takes.
        rows: Answers.
        max_answer: Most tokens of one; those that have not ended then have no `END`.
        device: Of the tokens.

    Returns:
        The answers with `END`, padded with -100.
    """
    last = torch.full((rows, 1), END, device=device)
    ended = torch.zeros(rows, dtype=torch.bool, device=device)
    found = []
    for _ in range(max_answer):
        logits, state = step(last, state)
        last = logits.argmax(-1)
        found.append(last.masked_fill(ended[:, None], IGNORED))
        ended = ended | (last[:, 0] == END)
        if ended.all():
            break
    return torch.cat(found, 1)
