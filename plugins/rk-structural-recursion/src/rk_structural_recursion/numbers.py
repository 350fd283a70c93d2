"""Positive numbers as terms, many at once: digits, successors, depths; groups of numbers to draw from."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from rk_sequence.seq2seq import END, present
from torch import Tensor

from rk.fields import IGNORED

X0, X1, ONE = 0, 1, 2
"""Tokens of inputs; those of answers are one more."""
WORDS = ["X0", "X1", "01"]
FEW = 8
"""Items that are held out of a small group, if they are not more than half of it."""
LONGEST = 62
"""Digits that a 64-bit number has room for, so that its successor has too."""


def digit_counts(n: Int[Tensor, "b"]) -> Int[Tensor, "b"]:
    """Returns the constructors of each number: its binary digits."""
    return torch.bucketize(n, 2 ** torch.arange(LONGEST + 1), right=True)


def terms(n: Int[Tensor, "b"], lengths: Int[Tensor, "b"], reverse: bool = False) -> Int[Tensor, "b t"]:
    """Returns the constructors of numbers, outermost first (the lowest digit), padded with 0.

    Args:
        n: Numbers from 1.
        lengths: Their digits.
        reverse: Writes the highest digit first.
    """
    place = torch.arange(int(lengths.max()))
    if reverse:
        place = lengths.unsqueeze(1) - 1 - place
    digits = (n.unsqueeze(1) >> place.clamp(min=0)) & 1
    return digits.masked_fill(place == lengths.unsqueeze(1) - 1, ONE) * present(digits, lengths)


def successors(n: Int[Tensor, "b"], reverse: bool = False) -> Int[Tensor, "b t"]:
    """Returns the terms of n + 1 as answers, with the token that ends them, padded with -100."""
    return as_answers(terms(n + 1, lengths := digit_counts(n + 1), reverse), lengths)


def as_answers(tokens: Int[Tensor, "b t"], lengths: Int[Tensor, "b"]) -> Int[Tensor, "b s"]:
    """Returns terms as answers: tokens from 1, `END` behind them, padded with -100."""
    answers = torch.full((len(tokens), int(lengths.max()) + 1), IGNORED)
    answers[present(answers, lengths)] = tokens[present(tokens, lengths)] + 1
    return answers.scatter(1, lengths.unsqueeze(1), END)


def depths(n: Int[Tensor, "b"]) -> Int[Tensor, "b"]:
    """Returns the calls that each successor takes: the X1 in front, and one."""
    lowest_zero = (n + 1) & ~n
    return torch.minimum(digit_counts(lowest_zero), digit_counts(n))


def random_shares(n: Int[Tensor, "b"], seed: int) -> Float[Tensor, "b"]:
    """Returns a number in [0, 1) for each number, a function of it and the seed: splitmix64."""
    x = n + _signed(0x9E3779B97F4A7C15 * (seed + 1))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ ((x >> shift) & ((1 << (64 - shift)) - 1))) * _signed(factor)
    x = x ^ ((x >> 31) & ((1 << 33) - 1))
    return ((x >> 11) & ((1 << 53) - 1)).double() / (1 << 53)


def _signed(x: int) -> int:
    """Returns the 64 bits of `x` as a signed number."""
    return (x & 0xFFFFFFFFFFFFFFFF) - ((x & 0x8000000000000000) << 1)


def held_out(groups: Int[Tensor, "b"], order: Float[Tensor, "b"], share: float) -> tuple[Tensor, Tensor]:
    """Returns which items are validated and which tested, for each group of them.

    Of each group, `share` of the items is held out, and half of these, rounded down, are validated. Of a group that
    would have few tests so, half is held out, up to `FEW` items. So every group is tested, and the only item of a group
    is never trained on.

    Args:
        groups: The group of each item.
        order: Of the items in a group: the first ones are held out.
        share: Of the items.
    """
    ordered = order.argsort()
    ordered = ordered[groups[ordered].argsort(stable=True)]
    counts = groups.unique(return_counts=True)[1]
    starts = counts.cumsum(0) - counts
    rank = torch.arange(len(groups)) - starts.repeat_interleave(counts)
    usual = (counts * share).round().long()
    held = torch.maximum(usual, ((counts + 1) // 2).clamp(max=FEW))
    tested = held - usual // 2
    val, test = torch.zeros_like(groups, dtype=torch.bool), torch.zeros_like(groups, dtype=torch.bool)
    test[ordered] = rank < tested.repeat_interleave(counts)
    val[ordered] = (rank < held.repeat_interleave(counts)) & ~test[ordered]
    return val, test


class Groups:
    """Items in groups: a draw takes each group with the same probability, then each of its items.

    Args:
        items: What is drawn.
        keys: The group of each; None: all in one.
    """

    def __init__(self, items: Int[Tensor, "n"], keys: Int[Tensor, "n"] | None = None) -> None:
        keys = torch.zeros_like(items) if keys is None else keys
        order = keys.argsort(stable=True)
        self.items = items[order]
        self.keys, self.counts = keys.unique(return_counts=True)
        self.starts = self.counts.cumsum(0) - self.counts

    def draw(self, count: int, random: torch.Generator) -> Int[Tensor, "count"]:
        """Returns so many items."""
        group = torch.randint(len(self.counts), (count,), generator=random)
        rank = (torch.rand(count, generator=random, dtype=torch.float64) * self.counts[group]).long()
        return self.items[self.starts[group] + rank]

    def first(self, most: int) -> Int[Tensor, "m"]:
        """Returns the first `most` items of each group."""
        rank = torch.arange(len(self.items)) - self.starts.repeat_interleave(self.counts)
        return self.items[rank < most]
