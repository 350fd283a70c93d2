"""The base of all regression tables: splits, standardised inputs, rows of users, intervals."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from rk import UserError
from rk.fields import RegressionBatch
from rk.protocols import Batch, Outputs
from rk.sampling import batch_count, rows
from rk_kernels.drawing import draw_intervals
from rk_kernels.metrics import CalibrationError, NegativeLogLikelihood, RootMeanSquaredError
from rk_kernels.predictive import half_width
from rk_kernels.tables import Table, read_table

Rows = tuple[Tensor, Tensor]
"""Inputs (n, features) and targets (n, 1), float64, as they are in the file."""


class RegressionTable(ABC):
    """Rows of numbers with one real target.

    Inputs are standardised by the training rows; targets stay as they are, so that errors and densities are in their
    own unit.

    Args:
        seed: Orders the training batches.
        batch_size: Rows per batch; null: all of a split at once, as closed forms like it.
        level: Probability of the intervals that are answered and drawn.
    """

    splits = ("train", "val", "test")
    metrics = {"nll": NegativeLogLikelihood, "rmse": RootMeanSquaredError, "calibration-error": CalibrationError}
    num_features: int
    _place: int | None = None
    """The target's column in the file of the training rows, from 0; None: behind the inputs."""

    def __init__(
        self,
        seed: int,
        batch_size: Annotated[int, Ge(1)] | None = None,
        level: Annotated[float, Gt(0), Lt(1)] = 0.9,
    ) -> None:
        self.seed = seed
        self.batch_size = batch_size
        self.level = level

    @abstractmethod
    def _load(self) -> tuple[dict[str, Rows], tuple[str, ...] | None, str | None]:
        """Returns the rows of each split, and the names of the inputs and of the target where they have some."""

    def prepare(self) -> None:
        self._place = None
        self._splits, self._names, self._target = self._load()
        empty = [split for split, (_, targets) in self._splits.items() if not len(targets)]
        if empty:
            raise ValueError(f"there are too few rows: the split {empty[0]} has none")
        inputs, targets = self._splits["train"]
        if bool((targets == targets[0]).all()):
            raise ValueError(f"the target is the same in all training rows ({len(targets)}): there is nothing to learn")
        deviation = inputs.std(0, correction=0)
        self._mean = inputs.mean(0)
        self._deviation = torch.where(deviation > 1e-12 * self._mean.abs().clamp(min=1), deviation, 1.0)
        self.num_features = inputs.shape[1]
        self._place = self.num_features if self._place is None else self._place

    def batches(self, split: str) -> int:
        count = len(self._splits[split][1])
        return batch_count(count, self.batch_size or count)

    def batch(self, split: str, i: int, stage: int = 0) -> RegressionBatch:
        inputs, targets = self._splits[split]
        size = self.batch_size or len(targets)
        chosen = rows(len(targets), size, i, seed=self.seed, shuffle=split == "train")
        return {"inputs": self._standardised(inputs[chosen]), "targets": targets[chosen]}

    def read(self, path: Path) -> Batch:
        """Reads a CSV file of rows, with the target's column (it is then judged) or without, names in any order."""
        table = read_table(path)
        columns, target = self._columns(table)
        inputs = self._standardised(table.numbers(columns))
        self._warn_of_range(table, columns, inputs)
        return {"inputs": inputs} if target is None else {"inputs": inputs, "targets": table.numbers([target])}

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns the central value and the interval of each row."""
        half = self._half_width(outputs)
        known = batch.get("targets")
        found = []
        for i, (value, width) in enumerate(zip(outputs["values"][:, 0].tolist(), half[:, 0].tolist(), strict=True)):
            answer = {"row": i + 1, "value": value, "lower": value - width, "upper": value + width}
            if known is not None:
                answer |= {"target": float(known[i, 0]), "inside": abs(float(known[i, 0]) - value) <= width}
            found.append(answer)
        return found

    def render(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Draws the interval of each row and, where the targets are known, how often intervals of each level cover."""
        outputs = {name: value.detach().cpu() for name, value in outputs.items()}
        known = batch["targets"].cpu() if "targets" in batch else None
        return [draw_intervals(outputs, self._half_width(outputs)[:, 0], known, self.level, self._target, out)]

    def state_dict(self) -> dict[str, Any]:
        """Returns how inputs are standardised and what they are called."""
        kept = {"mean": self._mean, "deviation": self._deviation, "names": self._names, "target": self._target}
        return {**kept, "place": self._place}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._mean, self._deviation = state["mean"], state["deviation"]
        self._names, self._target = state["names"], state["target"]
        self._place = state["place"] if "place" in state else self._place_in_old_runs()

    def preprocessing(self) -> dict[str, Any]:
        """Returns how the numbers of a row become ``inputs``, and what they are called."""
        return {
            "field": "inputs",
            "from": "table",
            "columns": None if self._names is None else list(self._names),
            "target": self._target,
            "mean": self._mean.tolist(),
            "std": self._deviation.tolist(),
        }

    def _half_width(self, outputs: Outputs) -> Tensor:
        return half_width(outputs["scales"], outputs["log_weights"], outputs["degrees"], self.level)

    def _standardised(self, inputs: Tensor) -> Tensor:
        return ((inputs - self._mean) / self._deviation).float()

    def _place_in_old_runs(self) -> int | None:
        """Returns the target's column in the file of a run that did not store it, from 0; None: not known."""
        return len(self._mean)

    def _columns(self, table: Table) -> tuple[list[int], int | None]:
        """Returns the columns of the inputs, in the order of the training rows, and the target's where there is one.

        Raises:
            rk.UserError: When columns are missing, or it is not clear which column is which.
        """
        width, found = len(self._mean), table.width
        if table.names is not None and self._names is not None:
            target = table.names.index(self._target) if self._target in table.names else None
            return [table.column(name) for name in self._names], target
        if found not in (width, width + 1):
            raise UserError(
                f"{table.path}: rows have {found} numbers, the training rows have {width}",
                "the target may follow as a last column",
            )
        if found == width:
            return list(range(width)), None
        if self._place != width:  # the same layout, or the target behind: two readings
            raise UserError(
                f"{table.path}: the columns have no names, and the target of the training rows, {self._target!r}, "
                "was not the last column",
                f"add a first line of names ({', '.join(self._names or ())}), or leave the target's column out",
            )
        return list(range(width)), width

    def _warn_of_range(self, table: Table, columns: list[int], inputs: Tensor) -> None:
        """Warns of cells that overflow float32 when scaled like the training rows: their rows have no answer."""
        beyond = (~inputs.isfinite()).nonzero()
        if len(beyond):
            row, i = beyond[0].tolist()
            more = f"; so are {count - 1} more rows" if (count := len(beyond[:, 0].unique())) > 1 else ""
            value = float(table.cells[row, columns[i]])
            place = table.place(table.lines[row], columns[i])
            print(f"warning: {place}: {value:g} is beyond float32: this row has no answer{more}", file=sys.stderr)
