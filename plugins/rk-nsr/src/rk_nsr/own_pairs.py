"""Data `sentence-pairs`: a user's own sentences and the sequences that answer them."""

from __future__ import annotations

from typing import Any

from rk_sequence.token_pairs import TokenPairs

from rk import UserError
from rk.protocols import Batch, Outputs
from rk_nsr.sentences import explained, list_of_words


class SentencePairs(TokenPairs):
    """The pairs of `token-pairs` for `nsr`: your own sentences and answers, and how many arguments each word has.

    Answers are lists of tokens. What a word means, and what belongs to what, is learned. Sentences of one word are all
    trained on, unless they are in the file of tests: what a word means cannot be found from longer sentences alone.

    Args:
        unary: Words with one argument.
        binary: Words with two arguments. All others have none.

    Examples:
        data: {name: sentence-pairs, file: pairs.tsv, unary: [twice, left], binary: [and]}
    """

    def __init__(self, unary: tuple[str, ...] = (), binary: tuple[str, ...] = (), **common: Any) -> None:
        super().__init__(**common)
        if both := [word for word in unary if word in binary]:
            raise ValueError(f"{both[0]!r} must be in one of unary and binary, got both")
        self.unary, self.binary = unary, binary

    @property
    def symbols(self) -> list[str]:
        """The words of the sentences."""
        return self.source_words

    @property
    def arities(self) -> list[int]:
        """Arguments of each word."""
        return [2 if word in self.binary else int(word in self.unary) for word in self.symbols]

    def prepare(self) -> None:
        super().prepare()
        for word in (*self.unary, *self.binary):
            if word not in self.symbols:
                raise UserError(f"{self.file}: {word!r} of data.unary or data.binary is in no sentence")
        for split in ("val", "test") if self.test is None else ("val",):
            pairs = self._parts[split]
            self._parts["train"] += [pair for pair in pairs if len(pair[0]) == 1]
            self._parts[split] = [pair for pair in pairs if len(pair[0]) > 1]
            if not self._parts[split]:
                raise UserError(f"{self.file}: there are too few sentences of several words to validate and test")

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns each sentence with its answer and, where a tree was built, the tree and how its values came about."""
        names = self.answer_words
        return explained(batch, outputs, self.symbols, names, lambda value: list_of_words(value, names))
