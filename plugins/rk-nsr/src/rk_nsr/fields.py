"""Fields of sentences and of the sequences that answer them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict

from jaxtyping import Float, Int
from torch import Tensor

END = 0
"""The token that ends an answer; the tokens of answers count from 1."""


class SentenceBatch(TypedDict):
    """Symbols of each sentence and the tokens of its answer, which `END` ends; answers are padded with -100."""

    tokens: Int[Tensor, "batch time"]
    lengths: Int[Tensor, "batch"]
    targets: Int[Tensor, "batch target_time"]


class ImagesBatch(TypedDict):
    """An image of each symbol of each sentence, the tokens of its answer, and the symbols, which only metrics use."""

    images: Float[Tensor, "batch time height width"]
    lengths: Int[Tensor, "batch"]
    targets: Int[Tensor, "batch target_time"]
    symbols: Int[Tensor, "batch time"]


class AnyBatch(TypedDict):
    """Sentences of symbols or of images, and their answers."""

    tokens: NotRequired[Int[Tensor, "batch time"]]
    images: NotRequired[Float[Tensor, "batch time height width"]]
    lengths: Int[Tensor, "batch"]
    targets: Int[Tensor, "batch target_time"]


class Decoded(TypedDict):
    """Answers that were decoded, with `END`, padded with -100."""

    decoded: Int[Tensor, "batch answer_time"]


class Explained(TypedDict):
    """Answers that were computed, with `END`, padded with -100; the head and the symbol of each place of the tree."""

    decoded: Int[Tensor, "batch answer_time"]
    heads: Int[Tensor, "batch time"]
    perceived: Int[Tensor, "batch time"]


def written(value: Any) -> list[int]:
    """Returns the tokens of a value: a list is its own tokens, an integer its decimal digits, each one more."""
    if isinstance(value, int):
        return [int(digit) + 1 for digit in str(value)]
    return list(value) if isinstance(value, tuple) else []


def value_of(tokens: Sequence[int], kind: str) -> Any:
    """Returns the value of kind ``list`` or ``int`` that tokens, without `END`, are written for."""
    return int("".join(str(token - 1) for token in tokens)) if kind == "int" else tuple(tokens)
