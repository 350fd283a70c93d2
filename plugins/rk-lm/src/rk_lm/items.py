"""Questions as token numbers: a prompt with the continuations that are scored after it, in one sequence.

All continuations of a prompt are run in one forward pass: each sees the prompt and itself, none sees another. The last
token of a continuation is only predicted, never read, so it is no part of the sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Item:
    """A prompt and its continuations, as token numbers. Neither the prompt nor any continuation is empty."""

    prompt: tuple[int, ...]
    continuations: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if not self.prompt or not self.continuations or not all(self.continuations):
            raise ValueError("an item has a prompt and at least one continuation, and none of them is empty")

    @cached_property
    def tokens(self) -> list[int]:
        """The sequence that is run: the prompt, then every continuation without its last token."""
        return [*self.prompt, *(token for c in self.continuations for token in c[:-1])]

    @cached_property
    def branches(self) -> list[int]:
        """For each token of the sequence the number of its continuation, from 1; 0 for the prompt."""
        own = [b for b, c in enumerate(self.continuations, 1) for _ in c[:-1]]
        return [0] * len(self.prompt) + own

    @cached_property
    def read_at(self) -> list[int]:
        """For each token of each continuation the place in the sequence where it is predicted."""
        places, start = [], len(self.prompt)
        for continuation in self.continuations:
            places += [len(self.prompt) - 1, *range(start, start + len(continuation) - 1)]
            start += len(continuation) - 1
        return places

    @cached_property
    def predicted(self) -> list[int]:
        """The tokens that `read_at` should predict."""
        return [token for c in self.continuations for token in c]


@dataclass(frozen=True)
class Scores:
    """What a path makes of an item's continuations.

    Attributes:
        greedy: Whether greedy decoding would have produced the continuation.
        log_probs: Sum of the log-probabilities of its tokens.
    """

    greedy: Bool[Tensor, "continuations"]
    log_probs: Float[Tensor, "continuations"]


def encode(tokenizer: Any, prompt: str, continuations: Sequence[str], chat: bool = False) -> Item:
    """Returns an item; a continuation's tokens are those that follow the prompt's in the text of both.

    Where a tokenizer joins the end of the prompt with the continuation's beginning, the continuation is tokenised
    alone: generation, too, starts from the tokens of the prompt.

    Args:
        tokenizer: Of the transformers library.
        prompt: The text before.
        continuations: What may follow.
        chat: Puts the prompt as a user's turn into the model's chat template.
    """
    if chat:
        turn = [{"role": "user", "content": prompt}]
        prompt = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    special = {"add_special_tokens": not chat}  # a template brings its own
    head = tokenizer(prompt, **special).input_ids
    tails = []
    for text in continuations:
        both = tokenizer(prompt + text, **special).input_ids
        joined = both[: len(head)] != head or len(both) == len(head)
        tails.append(tuple(tokenizer(text, add_special_tokens=False).input_ids if joined else both[len(head) :]))
    return Item(tuple(head), tuple(tails))


def pack(items: Sequence[Item], length: int, pad: int = 0) -> tuple[Int[Tensor, "b t"], Int[Tensor, "b t"]]:
    """Returns tokens and branches of `items`, padded on the right to `length`; padding has branch -1."""
    tokens = [item.tokens + [pad] * (length - len(item.tokens)) for item in items]
    branches = [item.branches + [-1] * (length - len(item.branches)) for item in items]
    return torch.tensor(tokens), torch.tensor(branches)
