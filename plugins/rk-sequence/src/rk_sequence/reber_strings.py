"""Task `reber-strings`: does a string belong to the Reber grammar?"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Le
from jaxtyping import Int
from torch import Tensor

from rk.protocols import Batch
from rk_sequence.metrics import class_accuracy
from rk_sequence.reber import EDGES, END, LABELS, SYMBOLS, check_lengths, states_after, walks
from rk_sequence.task import TokenTask, integers

LETTERS = 26
"""Tokens are capitals; those of the grammar come first, in the order of `SYMBOLS`."""
INNER = slice(1, len(EDGES) - 1)
"""The edges whose labels are exchanged: every string keeps its B and its E."""
ALPHABETS = 8
"""The number of ways to relabel the edges with any letters."""


class ReberStrings(TokenTask):
    """Strings of the Reber grammar (class 1) and strings that only look like it (class 0), half and half.

    The three kinds of the latter are walks through the grammar whose edges are labelled with any letters (`alien`, in
    eight fixed ways), walks with exchanged labels (`swapped`, in a new way each), and strings with one or two wrong
    symbols (`mutated`). The shares are those of the strings of arXiv:2407.20601, which have no mutated ones: there, who
    looks at pairs of neighbours can have 94% right, at triples all.

    Args:
        min_length: Fewest symbols in ``train``, ``val`` and ``test``.
        test_lengths: A further split ``test-N``, of strings with at least so many symbols, for each; null for none.
        max_length: Most symbols.
        alien: Share of the strings of class 0 that are labelled with any letters.
        mutated: Share of the strings of class 0 that have wrong symbols; the rest is swapped.

    Raises:
        ValueError: When no string has such a length, or the shares exceed 1.

    Examples:
        data: {name: reber-strings, max_length: 30}
    """

    metrics = {"accuracy": class_accuracy}
    vocab_size: int = 26
    num_outputs: int = 2
    readout: Literal["last"] = "last"  # type: ignore[assignment]  # other tasks of tokens answer at each step

    def __init__(
        self,
        *,
        min_length: Annotated[int, Ge(1)] = 11,
        max_length: Annotated[int, Ge(5)] = 53,
        alien: Annotated[float, Ge(0), Le(1)] = 0.56,
        mutated: Annotated[float, Ge(0), Le(1)] = 0.0,
        **common: Any,
    ) -> None:
        super().__init__(length=min_length, **common)
        check_lengths(self.test_lengths.values(), max_length)
        if alien + mutated > 1:
            raise ValueError(f"alien + mutated must be <= 1, got {alien} + {mutated}")
        self.max_length = max_length
        self.alien = alien
        self.mutated = mutated

    def draw(self, rows: int, length: int, random: torch.Generator) -> Batch:
        edges = walks(rows, length, self.max_length, random)
        valid = integers(2, (rows,), random)
        tokens = LABELS[edges.clamp(min=0)].masked_fill(edges < 0, -1)
        wrong = valid == 0
        while wrong.any():  # some exchanges give a string of the grammar after all
            tokens[wrong] = self._distort(edges[wrong], random)
            wrong = wrong & (states_after(tokens)[:, -1] == END)
        return {"tokens": tokens.clamp(min=0), "targets": valid, "mask": edges >= 0}

    def _distort(self, edges: Int[Tensor, "b t"], random: torch.Generator) -> Int[Tensor, "b t"]:
        """Returns strings of the kinds of class 0; a few are strings of the grammar."""
        rows = len(edges)
        kind = torch.rand(rows, generator=random)
        inner = len(LABELS[INNER])
        labels = LABELS.repeat(rows, 1)
        swapped = LABELS[INNER][torch.rand(rows, inner, generator=random).argsort(1)]
        alphabets = integers(LETTERS, (ALPHABETS, inner), torch.Generator().manual_seed(0))
        alien = alphabets[integers(ALPHABETS, (rows,), random)]
        is_alien, is_mutated = kind < self.alien, kind >= 1 - self.mutated
        labels[:, INNER] = torch.where(is_alien.unsqueeze(1), alien, swapped)
        labels[is_mutated] = LABELS
        tokens = labels.gather(1, edges.clamp(min=0)).masked_fill(edges < 0, -1)
        return torch.where(is_mutated.unsqueeze(1), self._mutate(tokens, random), tokens)

    def _mutate(self, tokens: Int[Tensor, "b t"], random: torch.Generator) -> Int[Tensor, "b t"]:
        """Returns strings in which one or two symbols between the first and the last are other ones."""
        inside = (tokens >= 0).sum(1) - 2
        tokens, each = tokens.clone(), torch.arange(len(tokens))
        for chance in (1.0, 0.5):
            place = 1 + (torch.rand(len(tokens), generator=random) * inside).long()
            other = (tokens[each, place] + 1 + integers(len(SYMBOLS) - 1, (len(tokens),), random)) % len(SYMBOLS)
            changes = torch.rand(len(tokens), generator=random) < chance
            tokens[each, place] = torch.where(changes, other, tokens[each, place])
        return tokens
