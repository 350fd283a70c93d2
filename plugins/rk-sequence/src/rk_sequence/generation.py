"""Continuing a text token by token, from state to state, with any model that streams."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

PIECE = 512
"""Steps of a prompt that are read at once."""


class Streaming(Protocol):
    """A model of the next token that takes a text in pieces."""

    def initial_state(self, batch_size: int) -> Any: ...

    def scan(self, *, state: Any, tokens: Tensor | None = None, mask: Tensor | None = None) -> tuple[Any, Any]: ...


def continued(
    model: Streaming,
    tokens: Int[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"] | None = None,
    max_new_tokens: int = 200,
    temperature: float = 1.0,
    top_k: int | None = None,
) -> tuple[Float[Tensor, "batch 1 tokens"], Int[Tensor, "batch new"]]:
    """Returns the scores behind the last token of each prompt, and a continuation.

    Args:
        model: What continues the text; it needs `initial_state` and `scan`, which returns ``logits``.
        tokens: The prompts.
        mask: True where a token of a prompt exists.
        max_new_tokens: Length of the continuation.
        temperature: Divides the logits before a token is drawn; 0 takes the likeliest token.
        top_k: Draws among so many of the likeliest tokens; None: among all.

    Raises:
        ValueError: When a prompt has no token.
    """
    logits, state = _read_prompt(model, tokens, mask)
    last = logits.unsqueeze(1)
    drawn: list[Tensor] = []
    for _ in range(max_new_tokens):
        drawn.append(_draw(logits, temperature, top_k))
        following, state = model.scan(state=state, tokens=drawn[-1])
        logits = following["logits"][:, -1]
    return last, torch.cat(drawn, 1)


def _read_prompt(
    model: Streaming, tokens: Int[Tensor, "batch time"], mask: Bool[Tensor, "batch time"] | None
) -> tuple[Float[Tensor, "batch tokens"], Any]:
    """Returns the scores behind the last step that exists of each prompt, and the state there.

    Prompts are read in pieces, of which only the last step's scores are kept: a long prompt needs no more memory
    than the layers' own state.
    """
    state = model.initial_state(tokens.shape[0])
    logits: Tensor | None = None
    for start in range(0, tokens.shape[1], PIECE):
        span = slice(start, start + PIECE)
        part = None if mask is None else mask[:, span]
        outputs, state = model.scan(state=state, tokens=tokens[:, span], mask=part)
        found = outputs["logits"][:, -1]
        if part is not None:
            last = part.cumsum(1).argmax(1)  # of equal numbers the first: the last step that exists
            found = outputs["logits"][torch.arange(len(last), device=last.device), last]
            if logits is not None:
                found = torch.where(part.any(1, keepdim=True), found, logits)
        logits = found
    if logits is None:
        raise ValueError("a prompt must have at least one token")
    return logits, state


def _draw(logits: Float[Tensor, "batch tokens"], temperature: float, top_k: int | None) -> Int[Tensor, "batch 1"]:
    if temperature == 0:
        return logits.argmax(-1, keepdim=True)
    if top_k is not None and top_k < logits.shape[-1]:
        least = logits.topk(top_k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    return (logits / temperature).softmax(-1).multinomial(1)
