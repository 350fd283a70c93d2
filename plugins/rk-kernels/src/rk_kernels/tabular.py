"""A user's own table, and one that scikit-learn ships."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from rk import UserError
from rk.sampling import rows
from rk_kernels.regression import RegressionTable, Rows
from rk_kernels.tables import Table, read_table


class Tabular(RegressionTable):
    """Your own CSV file: a row per line, numbers only, with or without a first line of names.

    A run answers further rows with `rk predict RUN rows.csv`, by the names of the columns where there are some.

    Args:
        file: The CSV file (or .csv.gz), beside the working folder or absolute.
        seed: Chooses the rows that are validated and tested, and orders the training batches.
        target: Name of the column to predict; null: the last one.
        batch_size: Rows per batch; null: all of a split at once, as closed forms like it.
        val_fraction: Share of all rows that is validated.
        test_fraction: Share of all rows that is tested.
        level: Probability of the intervals that are answered and drawn.

    Examples:
        data: {name: tabular, file: rows.csv, target: price}
    """

    def __init__(
        self,
        file: Path,
        seed: int,
        target: str | None = None,
        batch_size: Annotated[int, Ge(1)] | None = None,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        level: Annotated[float, Gt(0), Lt(1)] = 0.9,
    ) -> None:
        super().__init__(seed, batch_size, level)
        if val_fraction + test_fraction >= 1:
            raise ValueError("val_fraction and test_fraction leave no training rows")
        self.file = file
        self.target = target
        self.fractions = (val_fraction, test_fraction)

    def _load(self) -> tuple[dict[str, Rows], tuple[str, ...] | None, str | None]:
        table = read_table(self.file)
        if table.width < 2:
            raise UserError(f"{self.file}: expected at least two columns, got 1")
        place = table.width - 1 if self.target is None else table.column(self.target)
        _check_range(table)
        others = [c for c in range(table.width) if c != place]
        found = parted(table.numbers(others), table.numbers([place]), self.fractions, self.seed)
        self._place = place
        if table.names is None:
            return found, None, None
        return found, tuple(table.names[c] for c in others), table.names[place]

    def _place_in_old_runs(self) -> int | None:
        return len(self._mean) if self.target is None else None


class Diabetes(RegressionTable):
    """Progression of diabetes in 442 patients (Efron et al. 2004), which scikit-learn ships: ten features.

    A tenth of the rows is validated, a tenth tested.

    Args:
        seed: Orders the training batches.
        split: Seeds which rows are validated and tested.
        batch_size: Rows per batch; null: all of a split at once, as closed forms like it.
        level: Probability of the intervals that are answered and drawn.

    Examples:
        data: {name: diabetes, split: 1}
    """

    def __init__(
        self,
        seed: int,
        split: Annotated[int, Ge(0)] = 0,
        batch_size: Annotated[int, Ge(1)] | None = None,
        level: Annotated[float, Gt(0), Lt(1)] = 0.9,
    ) -> None:
        super().__init__(seed, batch_size, level)
        self.split = split

    def _load(self) -> tuple[dict[str, Rows], tuple[str, ...], str]:
        try:
            from sklearn.datasets import load_diabetes
        except ImportError:
            raise UserError("the data diabetes needs scikit-learn", "pip install scikit-learn") from None
        bunch = load_diabetes(scaled=False)
        inputs, targets = torch.from_numpy(bunch.data), torch.from_numpy(bunch.target).unsqueeze(1)
        return parted(inputs, targets, (0.1, 0.1), self.split), tuple(bunch.feature_names), "progression"


def _check_range(table: Table) -> None:
    """Raises `rk.UserError` for a number that float32, in which networks and kernels compute, does not hold."""
    beyond = (table.values.abs() > torch.finfo(torch.float32).max).nonzero()
    if len(beyond):
        row, column = beyond[0].tolist()
        place = table.place(table.lines[row], column)
        value = float(table.cells[row, column])
        raise UserError(f"{place}: {value:g} is beyond float32", "scale the values to between -3.4e38 and 3.4e38")


def parted(inputs: Tensor, targets: Tensor, fractions: tuple[float, float], seed: int) -> dict[str, Rows]:
    """Returns rows for training, validation and tests, chosen at random.

    Args:
        inputs: (n, features).
        targets: (n, 1).
        fractions: Shares that are validated and tested; at least one row each.
        seed: Of the choice.
    """
    order = rows(len(inputs), len(inputs), 0, seed=seed, shuffle=True)
    n_val, n_test = (max(1, round(share * len(inputs))) for share in fractions)
    parts = {"train": order[n_val + n_test :], "val": order[:n_val], "test": order[n_val : n_val + n_test]}
    return {name: (inputs[chosen], targets[chosen]) for name, chosen in parts.items()}
