"""Data from arrays: a file with ``X`` and ``y``, as the estimators write it and as ``numpy.savez`` does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from rk import Batch, Outputs, UserError
from rk.builtin.metrics import Accuracy
from rk.fields import ClassificationBatch, RegressionBatch
from rk.reading import column_place, number, read_rows
from rk.sampling import batch_count, rows

HINT = "write it with numpy.savez(path, X=..., y=...): X (rows, features) and y (rows,) or (rows, targets)"
_SMALLEST = 1e-12
"""A feature whose deviation is less is constant, and is only centred."""


class Arrays:
    """What both kinds of targets have in common."""

    splits = ("train",)
    num_features: int

    def __init__(self, path: Path, seed: int, batch_size: int, standardize: bool) -> None:
        self.path = path
        self.seed = seed
        self.batch_size = batch_size
        self.standardize = standardize
        self.scaling: dict[str, Tensor] = {}

    def _load(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Returns X and y. Raises `UserError` when the file is not as it should be."""
        try:
            with np.load(self.path, allow_pickle=False) as found:
                x, y = found["X"], found["y"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{self.path} cannot be read: {error}", HINT) from None
        if x.ndim != 2 or y.ndim not in (1, 2) or len(x) != len(y) or not len(x):
            raise UserError(f"{self.path}: X has the shape {x.shape}, y {y.shape}", HINT)
        if x.dtype.kind not in "fiub" or not np.isfinite(x).all():
            raise UserError(f"{self.path}: X must hold finite numbers", HINT)
        return x.astype(np.float64), y

    def _fit_inputs(self, x: np.ndarray[Any, Any]) -> None:
        """Takes the rows that are trained on, and their means and deviations."""
        self.num_features = x.shape[1]
        self.scaling |= _scaling(x, "inputs") if self.standardize else {}
        self._inputs = self._scaled(torch.from_numpy(x), "inputs").float()

    def _scaled(self, values: Tensor, name: str) -> Tensor:
        if f"{name}_mean" not in self.scaling:
            return values
        return (values.double() - self.scaling[f"{name}_mean"]) / self.scaling[f"{name}_scale"]

    def batches(self, split: str) -> int:
        return batch_count(len(self._inputs), self.batch_size)

    def _rows(self, i: int) -> Tensor:
        return rows(len(self._inputs), self.batch_size, i, seed=self.seed, shuffle=True)

    def read(self, path: Path) -> Batch:
        """Reads rows of numbers: the ``X`` of an ``.npz`` file, an ``.npy`` file, or a CSV without a header."""
        if path.suffix.lower() in (".npz", ".npy"):
            try:
                found = np.load(path, allow_pickle=False)
                values = torch.from_numpy(np.asarray(found["X"] if path.suffix.lower() == ".npz" else found)).double()
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise UserError(f"{path} cannot be read: {error}", HINT) from None
        else:
            table = [
                [number(cell, column_place(path, line, i)) for i, cell in enumerate(row)]
                for line, row in read_rows(path)
            ]
            if not table or len({len(row) for row in table}) > 1:
                raise UserError(f"{path}: expected rows of numbers, all of one length")
            values = torch.tensor(table, dtype=torch.float64)
        if values.dim() != 2:
            raise UserError(f"{path}: expected (rows, features), got the shape {tuple(values.shape)}")
        return {"inputs": self._scaled(values, "inputs").float()}

    def state_dict(self) -> dict[str, Any]:
        return dict(self.scaling)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scaling = dict(state)


class LabelledArrays(Arrays):
    """Rows of numbers with a class each, from a file of NumPy.

    All rows are trained on: what is validated and tested is left to scikit-learn.

    Args:
        path: An ``.npz`` file with ``X``, (rows, features), and ``y``, (rows,): a class as a number from 0.
        seed: Orders the training batches.
        batch_size: Rows per batch.
        standardize: Centres each feature and divides it by its standard deviation, of the rows of the file.

    Examples:
        data: {name: arrays, path: iris.npz}
    """

    metrics = {"accuracy": Accuracy}
    num_classes: int

    def __init__(self, path: Path, seed: int, batch_size: Annotated[int, Ge(1)] = 64, standardize: bool = True) -> None:
        super().__init__(path, seed, batch_size, standardize)

    def prepare(self) -> None:
        x, y = self._load()
        if y.ndim != 1 or y.dtype.kind not in "iub" or y.min() < 0:
            raise UserError(f"{self.path}: y must hold classes, whole numbers from 0", HINT)
        self._fit_inputs(x)
        self._targets = torch.from_numpy(y.astype(np.int64))
        self.num_classes = int(y.max()) + 1

    def batch(self, split: str, i: int, stage: int = 0) -> ClassificationBatch:
        chosen = self._rows(i)
        return {"inputs": self._inputs[chosen], "targets": self._targets[chosen]}

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        shares = outputs["logits"].double().softmax(-1)
        return [{"class": int(p.argmax()), "probabilities": [round(float(q), 4) for q in p]} for p in shares]


class NumberArrays(Arrays):
    """Rows of numbers with real targets, from a file of NumPy.

    All rows are trained on: what is validated and tested is left to scikit-learn.

    Args:
        path: An ``.npz`` file with ``X``, (rows, features), and ``y``, (rows,) or (rows, targets).
        seed: Orders the training batches.
        batch_size: Rows per batch.
        standardize: Centres each feature and each target and divides it by its standard deviation, of the rows of the
            file. Answers are in the targets' own units.

    Examples:
        data: {name: number-arrays, path: prices.npz}
    """

    num_targets: int

    def __init__(self, path: Path, seed: int, batch_size: Annotated[int, Ge(1)] = 64, standardize: bool = True) -> None:
        super().__init__(path, seed, batch_size, standardize)

    def prepare(self) -> None:
        x, y = self._load()
        if y.dtype.kind not in "fiub" or not np.isfinite(y).all():
            raise UserError(f"{self.path}: y must hold finite numbers", HINT)
        targets = y.astype(np.float64).reshape(len(y), -1)
        self._fit_inputs(x)
        self.scaling |= _scaling(targets, "targets") if self.standardize else {}
        self._targets = self._scaled(torch.from_numpy(targets), "targets").float()
        self.num_targets = targets.shape[1]

    def batch(self, split: str, i: int, stage: int = 0) -> RegressionBatch:
        chosen = self._rows(i)
        return {"inputs": self._inputs[chosen], "targets": self._targets[chosen]}

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        values = outputs["values"].double().cpu()
        if "targets_mean" in self.scaling:
            values = values * self.scaling["targets_scale"] + self.scaling["targets_mean"]
        return [{"values": row.tolist()} for row in values]


def _scaling(values: np.ndarray[Any, Any], name: str) -> dict[str, Tensor]:
    deviation = values.std(0)
    deviation[deviation < _SMALLEST] = 1.0
    return {f"{name}_mean": torch.from_numpy(values.mean(0)), f"{name}_scale": torch.from_numpy(deviation)}
