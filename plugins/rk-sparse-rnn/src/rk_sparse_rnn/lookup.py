"""Look-up of n-grams: the accuracy of a memory of n - 1 symbols, beside that of every network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from rk.protocols import Share


class NgramLookup:
    """Metric: the share of strings whose class a table of the training strings' n-grams gives.

    A string is of the class with the fewest different n-grams, if training strings of that class have all of its
    n-grams; else of the class with the next fewest, and of the one with the most if no class has them all.

    Args:
        n: Symbols of a run.
        vocab_size: Tokens; 0 behind the last other token is padding.
        seen: The codes of the n-grams of each class, as `of` finds them.
    """

    def __init__(self, n: int, vocab_size: int, seen: Sequence[Int[Tensor, "grams"]]) -> None:
        self.n = n
        self.vocab_size = vocab_size
        self.seen = list(seen)

    @classmethod
    def of(cls, n: int, vocab_size: int, classes: Sequence[Int[Tensor, "rows time"]]) -> NgramLookup:
        """Returns the table of padded training strings, given class by class."""
        seen = []
        for tokens in classes:
            codes, exists = _ngrams(tokens, n, vocab_size)
            seen.append(codes[exists].unique())
        return cls(n, vocab_size, seen)

    def classify(self, tokens: Int[Tensor, "batch time"]) -> Int[Tensor, "batch"]:
        """Returns the class of each string."""
        codes, exists = _ngrams(tokens, self.n, self.vocab_size)
        *fewer, most = sorted(range(len(self.seen)), key=lambda c: len(self.seen[c]))
        found = torch.full((len(tokens),), most, device=tokens.device)
        for number in reversed(fewer):  # the class with the fewest has the last word
            known = torch.isin(codes, self.seen[number].to(tokens.device)) | ~exists
            found = torch.where(known.all(1), number, found)
        return found

    def __call__(self, *, tokens: Int[Tensor, "batch time"], targets: Int[Tensor, "batch"]) -> Share:
        return (self.classify(tokens) == targets).sum(), len(targets)


def _ngrams(
    tokens: Int[Tensor, "rows time"], n: int, vocab_size: int
) -> tuple[Int[Tensor, "rows grams"], Bool[Tensor, "rows grams"]]:
    """Returns the code of each n-gram, a number with the tokens as digits, and whether it is before the padding."""
    place = torch.arange(1, tokens.shape[1] + 1, device=tokens.device)
    lengths = (place * (tokens != 0)).amax(1, keepdim=True)
    windows = tokens.unfold(1, min(n, tokens.shape[1]), 1)
    codes = torch.zeros_like(windows[..., 0])
    for token in windows.unbind(-1):
        codes = codes * vocab_size + token
    return codes, place[: codes.shape[1]] + n - 1 <= lengths
