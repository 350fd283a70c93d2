"""Data `labelled-sequences`: a user's series of numbers with a class, or a number, each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import torch
from annotated_types import Ge
from jaxtyping import Bool, Float, Real
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rk import UserError
from rk.builtin.metrics import Accuracy
from rk.drafting import Draft
from rk.protocols import Batch, Outputs, Share
from rk_sequence.corpora import SERIES
from rk_sequence.labelled import Example, LabelledData
from rk_sequence.series_drafts import draft_series
from rk_sequence.series_files import Columns, guess_target, read_series, target


class LabelledSeriesBatch(TypedDict):
    """Series, padded, and the class of each, or its number as a column."""

    inputs: Float[Tensor, "batch time channels"]
    targets: Real[Tensor, "batch *numbers"]
    mask: Bool[Tensor, "batch time"]


def absolute_error(*, values: Float[Tensor, "batch numbers"], targets: Float[Tensor, "batch numbers"]) -> Share:
    """Mean absolute error, in the spread of the training targets."""
    return (values - targets).abs().sum(), targets.numel()


absolute_error.higher_is_better = False  # type: ignore[attr-defined]  # what a metric that is a function may have


class LabelledSequences(LabelledData):
    """Series of your own with a label each: a class, or a number.

    - ``.ts`` of the UCR and UEA archives, without time stamps.
    - A table (CSV, TSV) in wide form, a row per series: the label's column, all others are steps. Empty cells at the
      end are steps that a shorter series does not have. Without a head, the first column is the class.
    - A table in long form, a row per step: columns `id`, `time`, `label`, all others are channels.
    - JSON lines: ``{"series": [1, 2, 3], "label": "a"}``; lists of lists are steps of several channels.

    Series may differ in length: shorter ones are padded and masked. A number that is missing (``?``, an empty cell) is
    the last one before it. A run answers further files of these kinds, with or without labels.

    Args:
        file: The training series.
        dataset: Published series in place of a file: `japanese-vowels` (12 channels, 7 to 29 steps, nine speakers),
            `gunpoint` (150 steps, two classes), both of the UCR and UEA archives.
        val: A file of its own for validation; null: a share of the training series.
        test: A file of its own for tests; null: a share of the training series.
        label: Name of the column of labels; null: the one that is called `label` or the like, else the only one that
            is not of numbers.
        id: Name of the column of a long table that says which series a row belongs to; null: `id` or the like.
        time: Name of the column that orders the rows of a series; null: `time` or the like.
        target: Whether labels are classes or numbers; null: numbers, where not all are whole or there are more than 20.
        normalize: What is subtracted and divided by: mean and spread of each channel over the `train` series or over
            each `series` itself; or `none`.
        max_length: Most steps of a series; the rest of a longer one is cut off. Null: all.

    Examples:
        data: {name: labelled-sequences, file: GunPoint_TRAIN.ts, test: GunPoint_TEST.ts}
    """

    vocab_size: None = None
    readout: Literal["mean"] = "mean"
    drafts = (".ts", ".csv", ".tsv", ".jsonl")

    def __init__(
        self,
        file: Path | None = None,
        dataset: Literal["japanese-vowels", "gunpoint"] | None = None,
        val: Path | None = None,
        test: Path | None = None,
        label: str | None = None,
        id: str | None = None,
        time: str | None = None,
        target: Literal["class", "number"] | None = None,
        normalize: Literal["train", "series", "none"] = "train",
        max_length: Annotated[int, Ge(1)] | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if (file is None) == (dataset is None):
            raise ValueError("give data.file, your own series, or data.dataset, published ones")
        self.file = file
        self.dataset = dataset
        self.held_out = {"val": val, "test": test}
        self.columns = Columns(label, id, time)
        self.target = target
        self.normalize = normalize
        self.max_length = max_length

    @property
    def metrics(self) -> Mapping[str, Any]:  # type: ignore[override]  # they depend on the labels
        """Accuracy of classes; the mean absolute error of numbers, in their spread."""
        return {"accuracy": Accuracy} if self.target != "number" else {"absolute-error": absolute_error}

    @property
    def num_features(self) -> int:
        """Channels."""
        return self._mean.shape[0]

    @property
    def num_steps(self) -> int:
        """Steps of the longest training series."""
        return self._steps

    @property
    def num_outputs(self) -> int:
        """Classes, or 1 for a number."""
        return len(self.classes) or 1

    # -- reading -------------------------------------------------------------------------------------------------------

    def _load(self) -> dict[str, list[Example]]:
        if self.dataset is not None:
            return {split: self._examples(source.path()) for split, source in SERIES[self.dataset].items()}
        assert self.file is not None  # the constructor has seen to it
        files = {"train": self.file} | {split: path for split, path in self.held_out.items() if path is not None}
        return {split: self._examples(path) for split, path in files.items()}

    def _examples(self, path: Path) -> list[Example]:
        found = read_series(path, self.columns, labelled=True)
        self.target = self.target or found[0].target
        return [Example(self._cut(s.values), s.label, s.place) for s in found]

    def _cut(self, values: Float[Tensor, "steps channels"]) -> Float[Tensor, "steps channels"]:
        return values if self.max_length is None else values[: self.max_length]

    def _find_classes(self, parts: dict[str, list[Example]]) -> None:
        if self.target is None:
            self.target = guess_target([str(e.label) for e in parts["train"]])
        if self.target == "class":
            super()._find_classes(parts)
            return
        for examples in parts.values():
            for example in examples:
                target(str(example.label), example.place)

    def _learn(self, examples: Sequence[Example]) -> None:
        every = torch.cat([e.content for e in examples]).double()
        self._steps = max(len(e.content) for e in examples)
        self._mean, self._spread = every.mean(0).float(), _spread(every)
        if self.target == "number":
            numbers = torch.tensor([target(str(e.label), e.place) for e in examples], dtype=torch.float64)
            self._target_mean, self._target_spread = float(numbers.mean()), float(numbers.std(correction=0)) or 1.0

    def _collated(self, examples: Sequence[Example]) -> Batch:
        for example in examples:
            if example.content.shape[1] != self.num_features:
                found = f"expected {self.num_features} channels, got {example.content.shape[1]}"
                raise UserError(f"{example.place}: {found}", "the run was trained on so many")
        inputs = pad_sequence([self._normalized(e.content) for e in examples], batch_first=True)
        lengths = torch.tensor([len(e.content) for e in examples])
        return {"inputs": inputs, "mask": torch.arange(inputs.shape[1]) < lengths.unsqueeze(1)}

    def _normalized(self, values: Float[Tensor, "steps channels"]) -> Float[Tensor, "steps channels"]:
        if self.normalize == "none":
            return values
        if self.normalize == "train":
            return (values - self._mean) / self._spread
        return (values - values.mean(0)) / _spread(values.double())

    def _targets(self, examples: Sequence[Example]) -> Tensor:
        if self.target != "number":
            return super()._targets(examples)
        numbers = torch.tensor([[float(str(e.label))] for e in examples])
        return (numbers - self._target_mean) / self._target_spread

    def batch(self, split: str, i: int, stage: int = 0) -> LabelledSeriesBatch:
        chosen = self._chosen(split, i)
        fields = self._collated(chosen)
        return {"inputs": fields["inputs"], "mask": fields["mask"], "targets": self._targets(chosen)}

    def read(self, path: Path) -> Batch:
        """Reads a .ts file, a table or JSON lines, with labels or without."""
        longest = self._steps if self.num_features == 1 else None
        series = read_series(path, self.columns, labelled=False, longest=longest)
        return self._collated([Example(self._cut(s.values), s.label, s.place) for s in series])

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns for each series its class and the probabilities of the classes, or its number."""
        if self.target != "number":
            return super().answers(batch, outputs)
        numbers = outputs["values"][:, 0].double() * self._target_spread + self._target_mean
        return [{"value": float(f"{number:.6g}")} for number in numbers.tolist()]

    # -- what a run keeps ----------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Returns the classes and what series are normalised by: a run answers without the training series."""
        state: dict[str, Any] = {
            "classes": list(self.classes),
            "target": self.target,
            "steps": self._steps,
            "mean": self._mean,
            "spread": self._spread,
        }
        if self.target == "number":
            state |= {"target_mean": self._target_mean, "target_spread": self._target_spread}
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.classes = tuple(state["classes"])
        self.target = state["target"]
        self._steps = state["steps"]
        self._mean, self._spread = state["mean"], state["spread"]
        if self.target == "number":
            self._target_mean, self._target_spread = state["target_mean"], state["target_spread"]

    @classmethod
    def draft(cls, path: Path, target: str | None) -> Draft | None:
        """Proposes a recipe for a .ts file, or a long table."""
        return draft_series(path, target)


def _spread(values: Float[Tensor, "steps channels"]) -> Float[Tensor, "channels"]:
    """Returns the standard deviation of each channel; 1 for one that never changes."""
    spread = values.std(0, correction=0).float()
    return torch.where(spread > 0, spread, torch.ones_like(spread))
