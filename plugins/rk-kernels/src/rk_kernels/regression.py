"""What all tables to regress on have in common: splits, standardised inputs, a user's own rows, intervals."""

from __future__ import annotations

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
from rk_kernels.tables import read_table

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
        inputs, targets = self._by_name(path, table.values, table.names)
        batch = {"inputs": self._standardised(inputs)}
        return batch if targets is None else {**batch, "targets": targets}

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
        return {"mean": self._mean, "deviation": self._deviation, "names": self._names, "target": self._target}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._mean, self._deviation = state["mean"], state["deviation"]
        self._names, self._target = state["names"], state["target"]

    def _half_width(self, outputs: Outputs) -> Tensor:
        return half_width(outputs["scales"], outputs["log_weights"], outputs["degrees"], self.level)

    def _standardised(self, inputs: Tensor) -> Tensor:
        return ((inputs - self._mean) / self._deviation).float()

    def _by_name(self, path: Path, values: Tensor, names: tuple[str, ...] | None) -> tuple[Tensor, Tensor | None]:
        """Returns inputs in the order of the training rows, and targets where there are some."""
        width = len(self._mean)
        if names is not None and self._names is not None:
            lacking = [name for name in self._names if name not in names]
            if lacking:
                raise UserError(f"{path}: there is no column {lacking[0]!r}", f"columns: {', '.join(self._names)}")
            inputs = values[:, [names.index(name) for name in self._names]]
            return inputs, values[:, [names.index(self._target)]] if self._target in names else None
        if values.shape[1] not in (width, width + 1):
            raise UserError(
                f"{path}: rows have {values.shape[1]} numbers, the training rows have {width}",
                "the target may follow as a last column",
            )
        return values[:, :width], values[:, width:] if values.shape[1] > width else None
