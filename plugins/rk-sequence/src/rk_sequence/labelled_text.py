"""Data `labelled-text`: a user's texts with a class each."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import torch
from annotated_types import Ge
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rk import UserError
from rk.drafting import Draft
from rk.protocols import Batch
from rk.reading import read_text
from rk_sequence.corpora import LABELLED
from rk_sequence.labelled import Example, LabelledTokens
from rk_sequence.records import JSON_LINES, TABLES, Records, ending, named, read_records
from rk_sequence.text_drafts import draft_table, draft_text_folder
from rk_sequence.text_files import TEXT_NAMES, find_columns, read_folder
from rk_sequence.vocabulary import Unit, Vocabulary

ACCEPTED = "give a table (CSV, TSV) with a column of texts, JSON lines, or a .txt file with one text"
WORD = r"\w+(?:['’]\w+)*|[^\w\s]"
"""A word, or a mark between words."""


class ClassifiedTokensBatch(TypedDict):
    """Token numbers of each text, padded, and its class."""

    tokens: Int[Tensor, "batch time"]
    targets: Int[Tensor, "batch"]
    mask: Bool[Tensor, "batch time"]


class LabelledText(LabelledTokens):
    """Texts of your own with a class each: a table, JSON lines, or a folder with one folder of .txt files per class.

    In a folder, folders `train`, `val` and `test` may come first. A text is cut into words and marks, or characters.
    The training texts give the vocabulary; all other tokens are one token, `unknown`. A run answers further files of
    any of these kinds, a .txt file, and ``--text``.

    Args:
        file: The training texts: a file, or a folder.
        corpus: Published texts in place of a file: `banking77`, questions to a bank with 77 intents (arXiv:2003.04807,
            CC BY 4.0).
        val: A file or folder of its own for validation; null: a share of the training texts.
        test: A file or folder of its own for tests; null: a share of the training texts.
        text: Name of the column of texts; null: the one that is called `text` or the like, else the one with the most
            words.
        label: Name of the column of classes; null: the one that is called `label` or the like, else that with the
            fewest different values.
        unit: Tokens are words, or characters.
        lower: Reads capitals as small letters.
        min_count: Tokens that come less often in the training texts are unknown.
        vocab_limit: Most tokens that are known, the one for unknown tokens included; null: all that are frequent
            enough.
        max_length: Most tokens of a text; the rest of a longer one is cut off.

    Examples:
        data: {name: labelled-text, file: reviews.csv, text: review, label: stars}
    """

    readout: Literal["mean"] = "mean"
    drafts = (".csv", ".tsv", ".jsonl", "/")

    def __init__(
        self,
        file: Path | None = None,
        corpus: Literal["banking77"] | None = None,
        val: Path | None = None,
        test: Path | None = None,
        text: str | None = None,
        label: str | None = None,
        unit: Literal["word", "char"] = "word",
        lower: bool = True,
        min_count: Annotated[int, Ge(1)] = 2,
        vocab_limit: Annotated[int, Ge(2)] | None = 20000,
        max_length: Annotated[int, Ge(1)] = 512,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if (file is None) == (corpus is None):
            raise ValueError("give data.file, your own texts, or data.corpus, published ones")
        self.file = file
        self.corpus = corpus
        self.held_out = {"val": val, "test": test}
        self.text = text
        self.label = label
        self.unit: Unit = unit
        self.lower = lower
        self.min_count = min_count
        self.vocab_limit = vocab_limit
        self.max_length = max_length

    # -- reading -------------------------------------------------------------------------------------------------------

    def _load(self) -> dict[str, list[Example]]:
        if self.corpus is not None:
            self.text, self.label = self.text or "text", self.label or "category"
            return {split: self._examples(source.path()) for split, source in LABELLED[self.corpus].items()}
        assert self.file is not None  # the constructor has seen to it
        parts = read_folder(self.file) if self.file.is_dir() else {"train": self._examples(self.file)}
        for split, path in self.held_out.items():
            if path is not None:
                parts[split] = read_folder(path)["train"] if path.is_dir() else self._examples(path)
        return parts

    def _examples(self, path: Path) -> list[Example]:
        """Returns the texts of a table or of JSON lines. The first file that is read settles the names of columns."""
        found = read_records(path, ACCEPTED)
        self.text, self.label = find_columns(found, self.text, self.label)
        text, label = self.text, self.label
        return [
            Example(found.text(row, text, "a text"), found.text(row, label, "a class"), f"{path}:{row.line}")
            for row in found.rows
        ]

    def read(self, path: Path) -> Batch:
        """Reads a .txt file with one text, or a table, JSON or JSON lines with the column of texts."""
        kind = ending(path)
        if kind in (*TABLES, *JSON_LINES, ".json"):
            records = read_records(path, ACCEPTED)
            name = self._text_column(records)
            texts = [Example(records.text(row, name, "a text"), None, f"{path}:{row.line}") for row in records.rows]
        else:
            texts = [Example(read_text(path, ACCEPTED), None, str(path))]
        return self._collated(texts)

    def _text_column(self, records: Records) -> str:
        """Returns the column of texts of a file to be answered: the trained one, a usual name, or the only one."""
        if self.text in records.names:
            return str(self.text)
        usual = named(records.names, TEXT_NAMES)
        if usual is None and len(records.names) == 1 and self.text is None:
            usual = records.names[0]
        return usual or records.need(self.text or "text", "its columns")

    # -- tokens --------------------------------------------------------------------------------------------------------

    def _tokens(self, text: str) -> list[str]:
        text = text.lower() if self.lower else text
        return list(text.strip()) if self.unit == "char" else re.findall(WORD, text)

    def _learn(self, examples: Sequence[Example]) -> None:
        counts: Counter[str] = Counter()
        long = 0
        for example in examples:
            tokens = self._tokens(example.content)
            long += len(tokens) > self.max_length
            counts.update(tokens[: self.max_length])
        if long:
            print(
                f"warning: {long} of {len(examples)} training texts have more than data.max_length {self.max_length} "
                "tokens: the rest of each is cut off",
                file=sys.stderr,
            )
        usual = Counter({token: count for token, count in counts.items() if count >= self.min_count})
        self._vocabulary = Vocabulary.of(usual.elements(), self.unit, self.vocab_limit)

    def _collated(self, examples: Sequence[Example]) -> Batch:
        numbers = []
        for example in examples:
            tokens = self._tokens(example.content)[: self.max_length]
            if not tokens:
                raise UserError(f"{example.place}: expected a text, got nothing to read", "leave it out")
            numbers.append(self._vocabulary.encode(tokens))
        lengths = torch.tensor([len(row) for row in numbers])
        padded = pad_sequence(numbers, batch_first=True)
        return {"tokens": padded, "mask": torch.arange(padded.shape[1]) < lengths.unsqueeze(1)}

    def batch(self, split: str, i: int, stage: int = 0) -> ClassifiedTokensBatch:
        chosen = self._chosen(split, i)
        fields = self._collated(chosen)
        return {"tokens": fields["tokens"], "mask": fields["mask"], "targets": self._targets(chosen)}

    # -- what a run keeps ----------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Returns the classes, the vocabulary and the columns: a run answers without the training texts."""
        return {
            "classes": list(self.classes),
            "tokens": self._vocabulary.tokens[1:],
            "text": self.text or "",
            "label": self.label or "",
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.classes = tuple(state["classes"])
        self._vocabulary = Vocabulary(state["tokens"], self.unit)
        self.text, self.label = state["text"] or None, state["label"] or None

    def preprocessing(self) -> dict[str, Any]:
        """Returns how a text becomes ``tokens``."""
        return {
            "field": "tokens",
            "from": "text",
            "encoding": "utf-8",
            "unit": self.unit,
            "lower": self.lower,
            "pattern": None if self.unit == "char" else WORD,
            "max_length": self.max_length,
            "vocabulary": list(self._vocabulary.tokens),
            "unknown": 0,
            "line": None,
        }

    @classmethod
    def draft(cls, path: Path, target: str | None) -> Draft | None:
        """Proposes a recipe for a table with a column of texts and one of classes, or folders of .txt files."""
        return draft_text_folder(path) if path.is_dir() else draft_table(path, target)
