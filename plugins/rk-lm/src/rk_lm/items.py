"""Questions as token numbers: a prompt with the continuations that are scored after it, in one sequence.

All continuations of a prompt are run in one forward pass: each sees the prompt and itself, none sees another. The last
token of a continuation is only predicted, never read, so it is not part of the sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rk import UserError


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
    """A path's scores of an item's continuations.

    Attributes:
        greedy: Whether greedy decoding would have produced the continuation.
        log_probs: Sum of the log-probabilities of its tokens.
    """

    greedy: Bool[Tensor, "continuations"]
    log_probs: Float[Tensor, "continuations"]


def encode(tokenizer: Any, prompt: str, continuations: Sequence[str], chat: bool = False, stop: str = "") -> Item:
    """Returns an item; a continuation's tokens are those that follow the prompt's in the text of both.

    Where a tokenizer joins the end of the prompt with the continuation's beginning, the continuation is tokenised
    alone: generation, too, starts from the tokens of the prompt.

    Args:
        tokenizer: Of the transformers library.
        prompt: The text before.
        continuations: What may follow.
        chat: Puts the prompt as a user's turn into the model's chat template. A continuation is then what the model
            itself would write it: without the space that follows a plain prompt, and ended as the template ends a turn.
        stop: What ends a continuation; in a chat, the end of the turn takes its place.

    Raises:
        rk.UserError: When a continuation has no token at all.
    """
    if chat:
        continuations = in_chat(tokenizer, continuations, stop)
    head, special = _encoded_prompt(tokenizer, prompt, chat)
    prompt = chat_prompt(tokenizer, prompt) if chat else prompt
    tails = []
    for text in continuations:
        both = tokenizer(prompt + text, **special).input_ids
        joined = both[: len(head)] != head or len(both) == len(head)
        tails.append(tuple(tokenizer(text, add_special_tokens=False).input_ids if joined else both[len(head) :]))
        if not tails[-1]:
            raise UserError(f"the answer {text!r} to {prompt[-80:]!r} has no token", "give an answer that is not empty")
    return Item(tuple(head), tuple(tails))


def encode_prompt(tokenizer: Any, prompt: str, chat: bool = False) -> list[int]:
    """Returns the tokens of a prompt by itself, as `encode` puts it before a continuation."""
    return _encoded_prompt(tokenizer, prompt, chat)[0]


def _encoded_prompt(tokenizer: Any, prompt: str, chat: bool) -> tuple[list[int], dict[str, bool]]:
    special = {"add_special_tokens": not chat}  # a template brings its own
    return tokenizer(chat_prompt(tokenizer, prompt) if chat else prompt, **special).input_ids, special


def chat_prompt(tokenizer: Any, prompt: str) -> str:
    """Returns the prompt as a user's turn, with what comes before the model's own."""
    turn = [{"role": "user", "content": prompt}]
    return tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)


def in_chat(tokenizer: Any, continuations: Sequence[str], stop: str) -> list[str]:
    """Returns what the model would write in a chat to give these continuations."""
    end = end_of_turn(tokenizer) or stop if stop else ""
    return [text.removesuffix(stop).strip() + end for text in continuations]


def end_of_turn(tokenizer: Any) -> str:
    """Returns the token with which the chat template ends the model's turn; "" where there is none.

    That is the first special token after the model's text; else the end of the text.
    """
    said = "\u2042said\u2042"
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": said}]
    try:
        _, found, after = tokenizer.apply_chat_template(turns, tokenize=False).rpartition(said)
    except Exception:  # a template is a program, and may refuse any conversation
        found = after = ""
    tokens = {*tokenizer.all_special_tokens, *map(str, tokenizer.added_tokens_decoder.values())}
    first = min((token for token in tokens if token and token in after), key=after.index, default=None)
    return (first if found else None) or tokenizer.eos_token or ""


def check_items(items: Sequence[Item], name: str, context_length: int | None, n_tokens: int) -> str | None:
    """Returns a warning where items are longer than what the model was made for; None where all is well.

    Args:
        items: What is about to be run.
        name: Of the model.
        context_length: Tokens that the model was made for; None: any number.
        n_tokens: Tokens that the model knows.

    Raises:
        rk.UserError: When the tokenizer gives a token that the model does not have.
    """
    if (most := max((max(*i.prompt, *i.predicted) for i in items), default=0)) >= n_tokens:
        raise UserError(
            f"the tokenizer of {name} gives the token {most}, but the model has {n_tokens} tokens",
            "give a folder whose tokenizer belongs to its model",
        )
    lengths = [len(item.prompt) + max(map(len, item.continuations), default=0) for item in items]
    long = [n for n in lengths if context_length is not None and n > context_length]
    if not long:
        return None
    return (
        f"{len(long)} of {len(items)} questions are longer than the context of {name}: up to {max(long)} tokens, the "
        f"model was made for {context_length}; its answers to them mean little"
    )


def pack(items: Sequence[Item], length: int, pad: int = 0) -> tuple[Int[Tensor, "b t"], Int[Tensor, "b t"]]:
    """Returns tokens and branches of `items`, padded on the right to `length`; padding has branch -1."""
    tokens = [item.tokens + [pad] * (length - len(item.tokens)) for item in items]
    branches = [item.branches + [-1] * (length - len(item.branches)) for item in items]
    return torch.tensor(tokens), torch.tensor(branches)
