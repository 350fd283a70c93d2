"""Data `scan`: commands and the actions that they mean."""

from __future__ import annotations

from typing import Any, Literal

import torch

from rk import UserError
from rk.sampling import generator
from rk_nsr.scan_files import read_split
from rk_nsr.scan_grammar import ACTIONS, SIDES, VERBS, Pair, reordered, split
from rk_nsr.sentences import SentenceData

ARITIES = {
    **dict.fromkeys((*VERBS, "turn"), 0),
    **dict.fromkeys((*SIDES, "opposite", "around", "twice", "thrice"), 1),
    **dict.fromkeys(("and", "after"), 2),
}
SHORT = 4
"""Commands of so many words are all trained on."""


class Scan(SentenceData):
    """SCAN (Lake and Baroni, arXiv:1711.00350): "jump around left twice" and its actions.

    Training takes few of a split's commands: all of at most four words, and others at random, each once.

    Args:
        split: What is trained on and what is tested. `length`: answers of at most 22 actions, tests from 24.
            `addprim-jump`: "jump" is only seen alone. `around-right` and the like: the words are never seen together.
            `simple`: at random.
        source: The generated commands, or the published files; the splits that have files are the same in both.
        reorder: Whether `opposite` and `around` are put behind the side, as in the paper: a tree is then projective.

    Examples:
        data: {name: scan, split: addprim-jump}
    """

    def __init__(
        self,
        split: Literal[
            "simple",
            "length",
            "addprim-jump",
            "addprim-turn-left",
            "around-right",
            "jump-around-right",
            "opposite-right",
            "right",
        ] = "addprim-jump",
        source: Literal["generated", "files"] = "generated",
        reorder: bool = True,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.split = split
        self.source = source
        self.reorder = reorder

    @property
    def symbols(self) -> list[str]:
        """The words of commands."""
        return list(ARITIES)

    @property
    def arities(self) -> list[int]:
        """Arguments of each word."""
        return list(ARITIES.values())

    @property
    def answer_words(self) -> list[str]:
        """The actions."""
        return ["END", *ACTIONS]

    def _load(self) -> dict[str, list[Pair]]:
        train, test = read_split(self.split) if self.source == "files" else split(self.split, self.seed)
        order = torch.randperm(len(train), generator=generator(self.seed, "order")).tolist()
        order.sort(key=lambda i: len(train[i][0]) > SHORT)  # stable: short commands first, the rest at random
        order = order[: self.num_examples + self.num_val]
        short = sum(len(train[i][0]) <= SHORT for i in order)
        held_out = max(len(order) - self.num_val, min(short, len(order) - 1))
        parts = {
            "train": [train[i] for i in order[:held_out]],
            "val": [train[i] for i in order[held_out:]],
            "test": test if self.limit is None else self._some(test, self.limit),
        }
        return {name: [self._ordered(pair) for pair in pairs] for name, pairs in parts.items()}

    def _some(self, test: list[Pair], limit: int) -> list[Pair]:
        order = torch.randperm(len(test), generator=generator(self.seed, "test"))
        return [test[i] for i in order[:limit].tolist()]

    def _ordered(self, pair: Pair) -> Pair:
        return (reordered(pair[0]) if self.reorder else pair[0]), pair[1]

    def _words(self, line: str, place: str) -> tuple[str, ...]:
        words = tuple(line.split())
        for word in words:
            if word not in ARITIES:
                raise UserError(f"{place}: {word!r} is not a word of SCAN; there are {', '.join(ARITIES)}")
        return reordered(words) if self.reorder else words
