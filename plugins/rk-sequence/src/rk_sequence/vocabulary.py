"""Texts as token numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from rk.reading import lines_of

UNKNOWN, LINE = "<unk>", "<eos>"

Unit = Literal["char", "byte", "word"]


def split_text(text: str, unit: Unit) -> list[str]:
    """Returns the tokens of a text: its characters, or what white space separates, with a token for each line's end.

    A byte of its UTF-8 is the character of that number.
    """
    if unit == "char":
        return list(text)
    if unit == "byte":
        return list(text.encode().decode("latin-1"))
    return [word for line in lines_of(text) for word in (*line.split(), LINE)]


def join_tokens(tokens: Iterable[str], unit: Unit) -> str:
    """Returns the text that the tokens are; bytes without a meaning in UTF-8 become U+FFFD."""
    if unit == "char":
        return "".join(tokens)
    if unit == "byte":
        return "".join(tokens).encode("latin-1").decode(errors="replace")
    lines: list[list[str]] = [[]]
    for token in tokens:
        if token == LINE:
            lines.append([])
        else:
            lines[-1].append(token)
    return "\n".join(" ".join(words) for words in lines)


class Vocabulary:
    """The tokens that are known; token 0 stands for all others.

    Args:
        tokens: The known ones, without the unknown.
        unit: Characters or words.
    """

    def __init__(self, tokens: Iterable[str], unit: Unit) -> None:
        self.tokens = [UNKNOWN, *tokens]
        self.unit: Unit = unit
        self._numbers: Callable[[str, int], int] = {token: i for i, token in enumerate(self.tokens)}.get

    @classmethod
    def of(cls, tokens: Iterable[str], unit: Unit, most: int | None) -> Vocabulary:
        """Returns a vocabulary of `most` tokens, the unknown included: the most frequent ones of a text.

        Of bytes, all 256 are known, unless `most` limits them.
        """
        if unit == "byte" and most is None:
            return cls(map(chr, range(256)), unit)
        counts = Counter(tokens)
        counts.pop(UNKNOWN, None)
        ordered = sorted(counts, key=lambda token: (-counts[token], token))
        return cls(ordered if most is None else ordered[: most - 1], unit)

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, tokens: Iterable[str]) -> Int[Tensor, "time"]:
        """Returns the numbers of tokens."""
        return torch.tensor([self._numbers(token, 0) for token in tokens], dtype=torch.int64)

    def decode(self, numbers: Iterable[int]) -> str:
        """Returns the text of token numbers."""
        return join_tokens((self.tokens[number] for number in numbers), self.unit)
