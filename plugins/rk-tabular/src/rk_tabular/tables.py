"""The data `table-classes` and `table-numbers`: a user's table whose target is a class, or a number."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rk import UserError
from rk.builtin.metrics import Accuracy
from rk.errors import printable
from rk.protocols import Batch, Outputs
from rk.reading import describe
from rk_tabular.columns import natural
from rk_tabular.frame import Frame
from rk_tabular.metrics import AbsoluteError, AreaUnderCurve, BalancedAccuracy, LogLoss, RootMeanSquare, RSquared
from rk_tabular.splits import Rows
from rk_tabular.table import LISTED, Table

if TYPE_CHECKING:
    from rk.drafting import Draft


class ClassesBatch(TypedDict):
    """Encoded rows with a class each."""

    inputs: Float[Tensor, "batch features"]
    targets: Int[Tensor, "batch"]


class NumbersBatch(TypedDict):
    """Encoded rows with a number each."""

    inputs: Float[Tensor, "batch features"]
    targets: Float[Tensor, "batch numbers"]
    target_scale: Float[Tensor, "batch"]
    """Units of the file per unit of the targets, for metrics."""


class Classes(Table):
    """A table whose target is a class."""

    metrics = {
        "accuracy": Accuracy,
        "balanced-accuracy": BalancedAccuracy,
        "log-loss": LogLoss,
        "auc": AreaUnderCurve,
    }
    num_classes: int
    num_outputs: int
    labels: tuple[str, ...]
    _target_is_text = True

    def _fit_targets(self, frame: Frame, name: str) -> None:
        found = sorted(frame.texts(name).unique().to_list(), key=natural)
        if len(found) < 2:
            message = (
                f"all {len(frame)} training rows are of the class {found[0]!r} ({name!r}): there is nothing to learn"
            )
            raise UserError(f"{printable(str(frame.path))}: {message}")
        self._note_labels(found)

    def _note_labels(self, labels: list[str]) -> None:
        self.labels = tuple(labels)
        self.num_classes = self.num_outputs = len(labels)

    def _targets(self, frame: Frame, name: str) -> Tensor:
        texts = frame.texts(name)
        codes = texts.replace_strict(
            list(self.labels), list(range(len(self.labels))), default=None, return_dtype=pl.Int64
        )
        if codes.has_nulls():
            row = codes.is_null().arg_true()[0]
            known = ", ".join(self.labels[:LISTED]) + (", ..." if len(self.labels) > LISTED else "")
            expected = f"expected a class of the training rows ({known})"
            raise UserError(
                f"{frame.place(row, name)}: {expected}, got {describe(texts[row])}",
                "leave the row out, or train on rows of this class",
            )
        return torch.from_numpy(codes.to_numpy().astype(np.int64))

    def _known(self, frame: Frame) -> dict[str, Tensor]:
        try:
            return super()._known(frame)
        except UserError as error:  # answered all the same
            print(f"note: {error.message}: the rows are answered, and not compared with a target", file=sys.stderr)
            return {}

    def _strata(self, frame: Frame, name: str) -> Rows | None:
        return frame.texts(name).rank("dense").to_numpy().astype(np.int64) - 1

    def batch(self, split: str, i: int, stage: int = 0) -> ClassesBatch:
        inputs, targets = self._chosen(split, i)
        return {"inputs": inputs, "targets": targets}

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns the class of each row, with the probabilities of all classes."""
        shares = outputs["logits"].double().softmax(-1).cpu()
        known = batch.get("targets")
        found = []
        for i, (share, best) in enumerate(zip(shares.tolist(), shares.argmax(-1).tolist(), strict=True)):
            answer: dict[str, Any] = {"row": i + 1, "class": self.labels[best], "probability": round(share[best], 4)}
            if known is not None:
                answer["target"] = self.labels[int(known[i])]
            answer["probabilities"] = {label: round(p, 4) for label, p in zip(self.labels, share, strict=True)}
            found.append(answer)
        return found

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "labels": list(self.labels)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._note_labels(state["labels"])


class TableClasses(Classes):
    """Your own table (CSV, TSV, Parquet, JSON lines) whose target is a class.

    `rk recipes init my.csv` writes a recipe that fits the file. A run answers further rows with `rk predict RUN
    more.csv`, by the names of the columns.

    Args:
        file: CSV, TSV, Parquet or JSON lines, beside the working folder or absolute; it may be inside a gzip file.

    Examples:
        data: {name: table-classes, file: wine.csv, target: cultivar}
    """

    drafts = (".csv", ".tsv", ".tab", ".parquet", ".jsonl", ".ndjson")

    def __init__(self, file: Path, **common: Any) -> None:
        super().__init__(file=file, **common)

    @classmethod
    def draft(cls, path: Path, target: str | None) -> Draft | None:
        from rk_tabular.draft import draft_table

        return draft_table(path, target, "class")


class Numbers(Table):
    """A table whose target is a number: standardised by the training rows, answered in the units of the file."""

    metrics = {"rmse": RootMeanSquare, "mae": AbsoluteError, "r2": RSquared}
    num_classes: None = None
    num_outputs: int = 1
    _target_is_text = False

    def _fit_targets(self, frame: Frame, name: str) -> None:
        frame.check(name)
        values = frame.numbers(name).to_numpy()
        if float(np.abs(values).max()) > float(np.finfo(np.float32).max):
            row = int(np.abs(values).argmax())
            raise UserError(f"{frame.place(row, name)}: {values[row]:g} is beyond float32", "scale the target")
        self._mean, self._std = float(values.mean()), float(values.std())
        if not self._std > 1e-12 * max(1.0, abs(self._mean)):
            message = (
                f"the target {name!r} is {values[0]:g} in all {len(values)} training rows: there is nothing to learn"
            )
            raise UserError(f"{printable(str(frame.path))}: {message}")

    def _targets(self, frame: Frame, name: str) -> Tensor:
        values = frame.numbers(name).to_numpy()
        return torch.from_numpy(((values - self._mean) / self._std).astype(np.float32)).unsqueeze(1)

    def _known(self, frame: Frame) -> dict[str, Tensor]:
        return {**super()._known(frame), "target_scale": torch.full((len(frame),), self._std)}

    def batch(self, split: str, i: int, stage: int = 0) -> NumbersBatch:
        inputs, targets = self._chosen(split, i)
        return {"inputs": inputs, "targets": targets, "target_scale": torch.full((len(targets),), self._std)}

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns the number of each row, in the units of the file."""
        known = batch.get("targets")
        found = []
        for i, value in enumerate(self._unscaled(outputs["values"])):
            answer: dict[str, Any] = {"row": i + 1, "value": value if math.isfinite(value) else None}
            if known is not None:
                answer["target"] = self._unscaled(known[i : i + 1])[0]
            found.append(answer)
        return found

    def _unscaled(self, values: Tensor) -> list[float]:
        numbers = (values[:, 0].double() * self._std + self._mean).tolist()
        return [float(f"{number:.7g}") for number in numbers]  # float32 holds no more digits

    def state_dict(self) -> dict[str, Any]:
        scale = torch.tensor([self._mean, self._std], dtype=torch.float64)
        return {**super().state_dict(), "target_scale": scale}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._mean, self._std = state["target_scale"].tolist()

    def preprocessing(self) -> dict[str, Any]:
        """Returns how a row becomes ``inputs``, and how ``values`` become numbers in the units of the file."""
        return {**super().preprocessing(), "values": {"times": self._std, "plus": self._mean}}


class TableNumbers(Numbers):
    """Your own table (CSV, TSV, Parquet, JSON lines) whose target is a number.

    `rk recipes init my.csv` writes a recipe that fits the file. Targets are standardised by the training rows; metrics
    and answers are in the units of the file.

    Args:
        file: CSV, TSV, Parquet or JSON lines, beside the working folder or absolute; it may be inside a gzip file.

    Examples:
        data: {name: table-numbers, file: houses.csv, target: price}
    """

    drafts = (".csv", ".tsv", ".tab", ".parquet", ".jsonl", ".ndjson")

    def __init__(self, file: Path, **common: Any) -> None:
        super().__init__(file=file, **common)

    @classmethod
    def draft(cls, path: Path, target: str | None) -> Draft | None:
        from rk_tabular.draft import draft_table

        return draft_table(path, target, "number")
