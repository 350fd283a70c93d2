"""Data `token-pairs`: a user's own pairs of sequences."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
from annotated_types import Gt, Lt

from rk import UserError
from rk.sampling import rows
from rk_sequence.pairs import END_WORD, PairBatch, PairData, padded_answers, padded_inputs
from rk_sequence.records import Records, named, read_records

ACCEPTED = "give a table (CSV, TSV) or JSON lines with a column of inputs and one of answers"
INPUTS = ("input", "source", "command", "question", "in")
ANSWERS = ("output", "target", "answer", "action", "out")


class Pair(NamedTuple):
    """An example: its tokens, those of its answer, its depth."""

    words: tuple[str, ...]
    answer: tuple[str, ...]
    depth: int


class TokenPairs(PairData):
    """Your own pairs of sequences: a table or JSON lines with a column of inputs and one of answers.

    Tokens are what white space separates. Those of the file are the vocabularies; any other is refused with its line.
    Equal inputs are in one split, so that none is trained and tested.

    Args:
        file: The pairs.
        test: A file of its own for tests; null: a share of the inputs.
        input: Name of the column of inputs; null: the one that is called `input` or the like, else the first.
        output: Name of the column of answers; null: the one that is called `output` or the like, else the second.
        depth: Name of a column with a whole number for each pair, by which answers are measured apart; null: the
            number of tokens of the answer.
        val_fraction: Share of the inputs that is validated.
        test_fraction: Share of the inputs that is tested, where no file is given for it.

    Examples:
        data: {name: token-pairs, file: pairs.tsv}
    """

    splits = ("train", "val", "test")

    def __init__(
        self,
        file: Path,
        test: Path | None = None,
        input: str | None = None,
        output: str | None = None,
        depth: str | None = None,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.file = file
        self.test = test
        self.input, self.output, self.depth = input, output, depth
        self.val_fraction, self.test_fraction = val_fraction, test_fraction
        self._source: list[str] = []
        self._answer: list[str] = []

    @property
    def source_words(self) -> list[str]:
        """The tokens of the inputs."""
        return self._source

    @property
    def answer_words(self) -> list[str]:
        """The tokens of the answers, after the one that ends them."""
        return [END_WORD, *self._answer]

    def prepare(self) -> None:
        pairs = self._pairs_of(self.file)
        inputs = list(dict.fromkeys(pair.words for pair, _ in pairs))
        order = [inputs[i] for i in rows(len(inputs), len(inputs), 0, seed=0, shuffle=True).tolist()]
        shares = {"val": self.val_fraction, "test": 0.0 if self.test else self.test_fraction}
        split_of: dict[tuple[str, ...], str] = {}
        for split, share in shares.items():
            count = max(1, round(share * len(inputs))) if share else 0
            split_of |= dict.fromkeys(order[:count], split)
            order = order[count:]
        if not order:
            raise UserError(f"{self.file}: {len(inputs)} different inputs are too few to train, validate and test")
        parts: dict[str, list[tuple[Pair, str]]] = {split: [] for split in self.splits}
        for pair, place in pairs:
            parts[split_of.get(pair.words, "train")].append((pair, place))
        if self.test is not None:
            parts["test"] = self._pairs_of(self.test)
        self._source = sorted({word for pair, _ in pairs for word in pair.words})
        self._answer = sorted({word for pair, _ in pairs for word in pair.answer})
        self._parts = {split: self._numbered(found) for split, found in parts.items()}

    def _pairs_of(self, path: Path) -> list[tuple[Pair, str]]:
        """Returns the pairs of a file, each with its place."""
        found = read_records(path, ACCEPTED)
        first, second = self._columns(found)
        pairs = []
        for row in found.rows:
            words = tuple(found.text(row, first, "an input").split())
            answer = tuple(found.text(row, second, "an answer").split())
            pairs.append((Pair(words, answer, self._depth_of(found, row, len(answer))), f"{path}:{row.line}"))
        return pairs

    def _columns(self, found: Records) -> tuple[str, str]:
        names = found.names
        if len(names) < 2:
            raise UserError(f"{found.path}: expected two columns, inputs and answers, got {len(names)}", ACCEPTED)
        first = found.need(self.input, "data.input") if self.input else named(names, INPUTS) or names[0]
        rest = [name for name in names if name != first]
        second = found.need(self.output, "data.output") if self.output else named(rest, ANSWERS) or rest[0]
        return first, second

    def _depth_of(self, found: Records, row: Any, otherwise: int) -> int:
        if self.depth is None:
            return otherwise
        text = found.text(row, found.need(self.depth, "data.depth"), "a whole number")
        if not text.isdecimal():
            raise UserError(f"{found.place(row, self.depth)}: expected a whole number, got {text[:40]!r}")
        return int(text)

    def _numbered(self, pairs: list[tuple[Pair, str]]) -> list[tuple[list[int], list[int], int]]:
        source = {word: i for i, word in enumerate(self.source_words)}
        answers = {word: i for i, word in enumerate(self.answer_words)}
        found = []
        for pair, place in pairs:
            for words, known, what in ((pair.words, source, "inputs"), (pair.answer, answers, "answers")):
                if unknown := [word for word in words if word not in known]:
                    raise UserError(f"{place}: {unknown[0]!r} is in no {what} of {self.file}", "add pairs with it")
            found.append(([source[w] for w in pair.words], [answers[w] for w in pair.answer], pair.depth))
        return found

    def count(self, split: str) -> int:
        """Returns the pairs of a split."""
        return len(self._parts[split])

    def batches(self, split: str) -> int:
        """Returns the number of batches of one pass over `split`."""
        return -(-self.count(split) // self.batch_size)

    def batch(self, split: str, i: int, stage: int = 0) -> PairBatch:
        train = split == "train"
        chosen = rows(self.count(split), self.batch_size, i, seed=self.seed, shuffle=train).tolist()
        pairs = [self._parts[split][row] for row in chosen]
        inputs = padded_inputs([words for words, _, _ in pairs])
        return {
            "tokens": inputs["tokens"],
            "lengths": inputs["lengths"],
            "targets": padded_answers([answer for _, answer, _ in pairs]),
            "depth": torch.tensor([depth for _, _, depth in pairs]),
        }

    def state_dict(self) -> dict[str, Any]:
        """Returns the vocabularies: a run answers without the training file."""
        return {"source": self._source, "answer": self._answer}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._source, self._answer = list(state["source"]), list(state["answer"])
