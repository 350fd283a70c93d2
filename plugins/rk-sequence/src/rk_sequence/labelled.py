"""The base of data that a user's files label: classes, splits, batches and answers."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from rk import UserError
from rk.builtin.metrics import Accuracy
from rk.protocols import Batch, Outputs
from rk.sampling import batch_count, rows, with_every_class
from rk_sequence.vocabulary import Vocabulary

MANY = 10
"""With more classes than this, an answer has only the likeliest ones."""
LIKELY = 5
"""How many these are."""
NAMED = 5
"""Most classes in a message."""


class Example(NamedTuple):
    """One example of a file.

    Attributes:
        content: What is to be judged.
        label: Its class, or None where it has none.
        place: Where it is, for messages: ``rows.csv:12``.
    """

    content: Any  # Any: a text, or a series of numbers
    label: str | None
    place: str


class LabelledData(ABC):
    """Examples with one class each, from files for training, validation and tests, or shares of one file.

    Which examples are validated and tested does not depend on the seed, and every class keeps training examples.

    Args:
        seed: Orders the training batches.
        batch_size: Examples per batch.
        val_fraction: Share of the training examples that is validated, where no file is given for it.
        test_fraction: Share of the training examples that is tested, where no file is given for it.
        train_limit: Trains on so many examples at most; null: on all.
    """

    splits = ("train", "val", "test")
    metrics: Mapping[str, Any] = {"accuracy": Accuracy}
    classes: tuple[str, ...] = ()

    def __init__(
        self,
        seed: int,
        batch_size: Annotated[int, Ge(1)] = 32,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        train_limit: Annotated[int, Ge(1)] | None = None,
    ) -> None:
        self.seed = seed
        self.batch_size = batch_size
        self.fractions = {"test": test_fraction, "val": val_fraction}
        self.train_limit = train_limit

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, in the order of their numbers."""
        return self.classes

    @abstractmethod
    def _load(self) -> dict[str, list[Example]]:
        """Returns the examples of ``train``, and of ``val`` and ``test`` where files are given for them."""

    @abstractmethod
    def _learn(self, examples: Sequence[Example]) -> None:
        """Takes from the training examples what all others are read with: a vocabulary, means."""

    @abstractmethod
    def _collated(self, examples: Sequence[Example]) -> Batch:
        """Returns the fields of a batch without its targets."""

    def prepare(self) -> None:
        parts = self._load()
        self._find_classes(parts)
        for split in [name for name in self.fractions if name not in parts]:
            parts["train"], parts[split] = self._hold_out(parts["train"], split)
        parts["train"] = self._limited(parts["train"])
        self._learn(parts["train"])
        self._parts = parts

    def _find_classes(self, parts: dict[str, list[Example]]) -> None:
        """Numbers the classes of the training examples. Raises `UserError` for one that is only in another file."""
        self.classes = tuple(in_order({e.label for e in parts["train"] if e.label is not None}))
        if len(self.classes) < 2:
            found = f"only the class {self.classes[0]!r}" if self.classes else "no class"
            place = parts["train"][0].place.rpartition(":")[0] if parts["train"] else "the training examples"
            raise UserError(f"{place}: expected at least two classes, got {found}", "data.label names their column")
        for split in ("val", "test"):
            unknown = {e.label: e.place for e in reversed(parts.get(split, ())) if e.label not in self.classes}
            if unknown:
                label, place = next(reversed(unknown.items()))
                raise UserError(
                    f"{place}: the class {label!r} has no training examples",
                    f"the classes of the training examples: {listed(self.classes)}",
                )

    def _hold_out(self, examples: list[Example], split: str) -> tuple[list[Example], list[Example]]:
        """Returns the examples to train on and those of `split`, chosen at random; every class stays in the former."""
        count = max(1, round(self.fractions[split] * len(examples)))
        order = self._ordered(examples, count, None)
        kept, held = [examples[i] for i in order[count:]], [examples[i] for i in order[:count]]
        self._check_all_trained(examples, kept, len(examples))
        return kept, held

    def _limited(self, examples: list[Example]) -> list[Example]:
        if self.train_limit is None or self.train_limit >= len(examples):
            return examples
        kept = [examples[i] for i in self._ordered(examples, 0, self.train_limit)[: self.train_limit]]
        missing = in_order({str(e.label) for e in examples} - {str(e.label) for e in kept})
        if missing and self.classes:
            print(
                f"warning: data.train_limit {self.train_limit}: no training examples of {listed(missing)}",
                file=sys.stderr,
            )
        return kept

    def _ordered(self, examples: list[Example], start: int, stop: int | None) -> list[int]:
        """Returns the numbers of the examples at random, with every class between `start` and `stop`."""
        order = rows(len(examples), len(examples), 0, seed=0, shuffle=True)
        if not self.classes:
            return order.tolist()
        return with_every_class(order, self._targets(examples), start, stop).tolist()

    def _check_all_trained(self, examples: list[Example], kept: list[Example], count: int) -> None:
        missing = in_order({str(e.label) for e in examples} - {str(e.label) for e in kept}) if self.classes else []
        if missing or not kept:
            raise UserError(
                f"{count} examples are too few to train, validate and test: the class "
                f"{missing[0] if missing else self.classes[0] if self.classes else ''!r} has no training examples",
                "give each class three examples or more, or files for data.val and data.test",
            )

    def _targets(self, examples: Sequence[Example]) -> Tensor:
        """Returns the class numbers, (n,)."""
        number = {name: i for i, name in enumerate(self.classes)}
        return torch.tensor([number[str(e.label)] for e in examples], dtype=torch.int64)

    def batches(self, split: str) -> int:
        return batch_count(len(self._parts[split]), self.batch_size)

    def _chosen(self, split: str, i: int) -> list[Example]:
        examples = self._parts[split]
        return [
            examples[row]
            for row in rows(len(examples), self.batch_size, i, seed=self.seed, shuffle=split == "train").tolist()
        ]

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns for each example its class, and the probabilities: of all classes, or of the likeliest of many."""
        shown = len(self.classes) if len(self.classes) <= MANY else LIKELY
        found = []
        for row in outputs["logits"].softmax(-1).tolist():
            order = sorted(range(len(row)), key=lambda c: -row[c])
            kept = order[:shown] if shown < len(row) else range(len(row))
            found.append(
                {
                    "class": self.classes[order[0]],
                    "probability": round(row[order[0]], 4),
                    "probabilities": {self.classes[c]: round(row[c], 4) for c in kept},
                }
            )
        return found


class LabelledTokens(LabelledData):
    """The base of labelled data that are read token by token; `_learn` finds the vocabulary."""

    num_features: None = None
    text_ending = (".txt",)
    _vocabulary: Vocabulary

    @property
    def vocab_size(self) -> int:
        """Known tokens, and the one for padding and all others."""
        return len(self._vocabulary)

    @property
    def num_outputs(self) -> int:
        """Classes."""
        return len(self.classes)

    @property
    def num_classes(self) -> int:
        """Classes."""
        return len(self.classes)


def in_order(names: set[str]) -> list[str]:
    """Returns names of classes in their order: numbers by size, all else by the alphabet."""
    numeric = all(name.lstrip("-").isdecimal() for name in names)
    key: Callable[[str], Any] = int if numeric else str
    return sorted(names, key=key)


def listed(names: Sequence[str]) -> str:
    """Returns some names for a message."""
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
