"""Data `labelled-strings`: strings of symbols with a class each, the Reber strings of the thesis among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import torch
from jaxtyping import Bool, Int
from rk_sequence.corpora import Source
from rk_sequence.labelled import Example, LabelledTokens
from rk_sequence.records import JSON_LINES, TABLES, ending, named, read_records
from rk_sequence.text_files import find_columns
from rk_sequence.vocabulary import Vocabulary
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rk import UserError
from rk.builtin.metrics import Accuracy
from rk.protocols import Batch
from rk.reading import read_text
from rk.sampling import batch_count, generator, rows
from rk_sparse_rnn.lookup import NgramLookup

_THESIS = "https://raw.githubusercontent.com/harshildarji/thesis/062bcba76bb2a7784b388a70a37d615589c13e72"
_REBER = {
    "train": Source(
        "reber/train_data.csv",
        f"{_THESIS}/Implementations/dataset/train_data.csv",
        "sha256:a49309775bbbbac32e79102740b3c49b351dfc582d4b8b5b878a9fc69accbe49",
    ),
    "test": Source(
        "reber/test_data.csv",
        f"{_THESIS}/Implementations/dataset/test_data.csv",
        "sha256:df63cf5a6afeeaa2b735eda16203b430618284ed33a16849967aebf1ef4990f4",
    ),
}
ACCEPTED = "give a table (CSV, TSV) with a column of strings, JSON lines, or a .txt file with one string a line"
STRING_NAMES = ("string", "strings", "sequence", "text")
POOL = 16
"""Batches whose strings are sorted by length together."""


class LabelledStringsBatch(TypedDict):
    """The symbols of each string as tokens, padded with 0, and its class."""

    tokens: Int[Tensor, "batch time"]
    targets: Int[Tensor, "batch"]
    mask: NotRequired[Bool[Tensor, "batch time"]]


class LabelledStrings(LabelledTokens):
    """Strings of symbols with a class each, which a network reads to the last symbol.

    Every character is a token. Beside the accuracy of the network, each split has that of two look-ups of training
    strings, `bigram` and `trigram`: what a memory of one symbol, or of two, can know.

    Training batches have strings of about the same length, and tests are sorted by it, so that little is padded.

    Args:
        file: The training strings: a table (CSV, TSV) or JSON lines with a column of strings and one of classes.
        corpus: Published strings in place of a file: `reber`, those of arXiv:2407.20601, valid or not (MIT).
        val: A file of its own for validation; null: a share of the training strings.
        test: A file of its own for tests; null: a share of the training strings.
        string: Name of the column of strings; null: the one that is called `string` or the like.
        label: Name of the column of classes; null: the one that is called `label` or the like.
        padded: Answers after the padding, as the code of arXiv:2407.20601 does: a string's answer then depends on the
            longest string of its batch, whose strings are not sorted by length.

    Raises:
        ValueError: When there are both a file and a corpus, or neither.

    Examples:
        data: {name: labelled-strings, corpus: reber}
    """

    readout: Literal["last"] = "last"

    def __init__(
        self,
        file: Path | None = None,
        corpus: Literal["reber"] | None = None,
        val: Path | None = None,
        test: Path | None = None,
        string: str | None = None,
        label: str | None = None,
        padded: bool = False,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if (file is None) == (corpus is None):
            raise ValueError("give data.file, your own strings, or data.corpus, published ones")
        self.file = file
        self.corpus = corpus
        self.held_out = {"val": val, "test": test}
        self.string, self.label = ("string", "valid") if corpus == "reber" else (string, label)
        self.padded = padded
        self._lookups: dict[str, NgramLookup] = {}
        self._ordered_epoch: tuple[int, list[list[int]]] = (-1, [])

    @property
    def metrics(self) -> Mapping[str, Any]:  # type: ignore[override]  # the look-ups know the training strings
        """Accuracy of the model, and of the look-ups beside it."""
        return {"accuracy": Accuracy, **self._lookups}

    # -- reading -------------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        super().prepare()
        if not self.padded:
            for split in ("val", "test"):
                self._parts[split].sort(key=lambda example: len(example.content))

    def _load(self) -> dict[str, list[Example]]:
        if self.corpus is not None:
            return {split: self._examples(source.path()) for split, source in _REBER.items()}
        assert self.file is not None  # the constructor has seen to it
        files = {"train": self.file} | {split: path for split, path in self.held_out.items() if path is not None}
        return {split: self._examples(path) for split, path in files.items()}

    def _examples(self, path: Path) -> list[Example]:
        found = read_records(path, ACCEPTED)
        if self.string is not None:
            found.need(self.string, "data.string")
        string = self.string or named(found.names, STRING_NAMES)
        self.string, self.label = find_columns(found, string, self.label)
        return [
            Example(
                found.text(row, self.string, "a string"), found.text(row, self.label, "a class"), f"{path}:{row.line}"
            )
            for row in found.rows
        ]

    def _learn(self, examples: Sequence[Example]) -> None:
        self._vocabulary = Vocabulary(sorted({symbol for e in examples for symbol in e.content}), "char")
        tokens, targets = self._padded(examples), self._targets(examples)
        by_class = [tokens[targets == number] for number in range(len(self.classes))]
        self._lookups = {
            name: NgramLookup.of(n, self.vocab_size, by_class) for name, n in (("bigram", 2), ("trigram", 3))
        }

    def read(self, path: Path) -> Batch:
        """Reads a .txt file with one string a line, or a table, JSON or JSON lines with the column of strings."""
        if ending(path) in (*TABLES, *JSON_LINES, ".json"):
            found = read_records(path, ACCEPTED)
            name = self.string if self.string in found.names else named(found.names, STRING_NAMES)
            name = name or found.need(self.string or "string", "its columns")
            strings = [Example(found.text(row, name, "a string"), None, f"{path}:{row.line}") for row in found.rows]
        else:
            lines = enumerate(read_text(path, ACCEPTED).splitlines(), 1)
            strings = [Example(line.strip(), None, f"{path}:{number}") for number, line in lines if line.strip()]
        if not strings:
            raise UserError(f"{path}: expected strings, got an empty file", ACCEPTED)
        return self._collated(strings)

    # -- batches -------------------------------------------------------------------------------------------------------

    def _padded(self, examples: Sequence[Example]) -> Int[Tensor, "rows time"]:
        together = self._vocabulary.encode("".join(e.content for e in examples))  # one call: a tensor each is slow
        return pad_sequence(together.split([len(e.content) for e in examples]), batch_first=True)

    def _collated(self, examples: Sequence[Example]) -> Batch:
        tokens = self._padded(examples)
        if self.padded:
            return {"tokens": tokens}
        lengths = torch.tensor([len(e.content) for e in examples])
        return {"tokens": tokens, "mask": torch.arange(tokens.shape[1]) < lengths.unsqueeze(1)}

    def batch(self, split: str, i: int, stage: int = 0) -> LabelledStringsBatch:
        chosen = self._chosen(split, i)
        fields: Any = {**self._collated(chosen), "targets": self._targets(chosen)}  # Any: with a mask, or without
        return fields

    def _chosen(self, split: str, i: int) -> list[Example]:
        if split != "train" or self.padded:
            return super()._chosen(split, i)
        examples = self._parts[split]
        epoch, position = divmod(i, batch_count(len(examples), self.batch_size))
        if self._ordered_epoch[0] != epoch:
            self._ordered_epoch = epoch, self._buckets(examples, epoch)
        return [examples[row] for row in self._ordered_epoch[1][position]]

    def _buckets(self, examples: Sequence[Example], epoch: int) -> list[list[int]]:
        """Returns the rows of each batch of an epoch: of pools of batches that are drawn at random, by length."""
        order = rows(len(examples), len(examples), epoch, seed=self.seed, shuffle=True).tolist()
        size, batches = self.batch_size, []
        for start in range(0, len(order), POOL * size):
            pool = sorted(order[start : start + POOL * size], key=lambda row: len(examples[row].content))
            batches += [pool[at : at + size] for at in range(0, len(pool), size)]
        mixed = torch.randperm(len(batches), generator=generator(self.seed, "buckets", epoch)).tolist()
        return [batches[number] for number in mixed]

    # -- what a run keeps ----------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Returns classes, symbols, columns and look-ups: a run answers without the training strings."""
        return {
            "classes": list(self.classes),
            "symbols": self._vocabulary.tokens[1:],
            "string": self.string or "",
            "label": self.label or "",
            "lookups": {name: {"n": one.n, "seen": one.seen} for name, one in self._lookups.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.classes = tuple(state["classes"])
        self._vocabulary = Vocabulary(state["symbols"], "char")
        self.string, self.label = state["string"] or None, state["label"] or None
        self._lookups = {
            name: NgramLookup(one["n"], self.vocab_size, one["seen"]) for name, one in state["lookups"].items()
        }

    def preprocessing(self) -> dict[str, Any]:
        """Returns how a string becomes ``tokens``."""
        return {
            "field": "tokens",
            "from": "text",
            "encoding": "utf-8",
            "unit": "char",
            "vocabulary": list(self._vocabulary.tokens),
            "unknown": 0,
        }
