"""Fields of sentences and of the sequences that answer them."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from jaxtyping import Int
from torch import Tensor

END = 0
"""The token that ends an answer; the tokens of answers count from 1."""


class SentenceBatch(TypedDict):
    """Symbols of each sentence and the tokens of its answer, which `END` ends; answers are padded with -100."""

    tokens: Int[Tensor, "batch time"]
    lengths: Int[Tensor, "batch"]
    targets: Int[Tensor, "batch target_time"]


class Decoded(TypedDict):
    """Answers that were decoded, with `END`, padded with -100; the head of each symbol where a tree was built."""

    decoded: Int[Tensor, "batch answer_time"]
    heads: NotRequired[Int[Tensor, "batch time"]]
