"""The analysis `wiring`: how much of the accuracy of wired networks their graphs explain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge
from rk_sequence.records import Records, read_records

from rk import UserError
from rk.charts import chart, plain, save
from rk.writing import write_csv
from rk_sparse_rnn.properties import PROPERTIES
from rk_sparse_rnn.regression import Fits, regress

_HINT = "give the zoo.csv of runs of the search graph-zoo, or a table with these columns"


class WiringAnalysis:
    """Regression of the accuracy on 23 properties of graphs (arXiv:2407.20601, Sec. 6.4), on rows that were held out.

    The tables of the search `graph-zoo` are taken together, or tables of your own with the same columns. R2 is measured
    by repeated k-fold cross-validation, beside that of the number of parameters alone: graphs with more nodes make
    larger networks. For the same reason each correlation with the accuracy has a partial one beside it, without what
    the logarithm of the number of parameters explains. ``r2.csv``, ``correlations.csv`` and a figure have them.

    Args:
        files: The tables.
        target: The column that is explained.
        control: The column whose part is taken out.
        folds: Parts, each of which is held out once.
        repeats: Divisions into parts.
        seed: Of the divisions.

    Examples:
        rk analyze wiring --files '[runs/zoo-gru/SOME-RUN/zoo.csv]'
    """

    def __init__(
        self,
        files: list[Path],
        target: str = "accuracy",
        control: str = "parameters",
        folds: Annotated[int, Ge(2)] = 5,
        repeats: Annotated[int, Ge(1)] = 10,
        seed: int = 0,
    ) -> None:
        if not files:
            raise ValueError("files must have at least one table")
        self.files = files
        self.target = target
        self.control = control
        self.folds = folds
        self.repeats = repeats
        self.seed = seed

    def analyze(self, out: Path) -> dict[str, float]:
        """Writes the tables and the figure; returns R2 of each model."""
        columns = [*PROPERTIES, self.target, self.control]
        table = np.concatenate([_numbers(path, columns) for path in self.files])
        if len(table) < 2 * self.folds:
            raise UserError(
                f"{len(table)} graphs are too few for {self.folds} folds", "give more tables, or fewer folds"
            )
        if (table[:, -1] <= 0).any():
            raise UserError(f"column {self.control!r} must be > 0 in every row")
        if np.ptp(table[:, -2]) == 0:
            raise UserError(f"column {self.target!r} has the same number in every row: there is nothing to explain")
        fits = regress(PROPERTIES, table[:, :-2], table[:, -2], table[:, -1], self.folds, self.repeats, self.seed)
        write_csv(
            out / "r2.csv", ["model", "R2", "standard deviation"], [[n, *v] for n, v in fits.r2.items()], digits=4
        )
        rows = [[name, fits.correlation[name], fits.partial[name]] for name in PROPERTIES]
        write_csv(out / "correlations.csv", ["property", "correlation", "partial"], rows, digits=4)
        _draw(fits, self.target, self.control, out / "correlations.png")
        return {"graphs": len(table), **{f"r2/{name}": mean for name, (mean, _) in fits.r2.items()}}


def _numbers(path: Path, columns: list[str]) -> np.ndarray:
    found = read_records(path, _HINT)
    for name in columns:
        found.need(name, "its columns")
    return np.array([[_number(found, row, name) for name in columns] for row in range(len(found.rows))])


def _number(found: Records, row: int, name: str) -> float:
    text = found.text(found.rows[row], name, "a number")
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{found.place(found.rows[row], name)}: expected a number, got {text!r}") from None


def _draw(fits: Fits, target: str, control: str, path: Path) -> None:
    names = sorted(fits.correlation, key=lambda name: fits.correlation[name])
    place = np.arange(len(names))
    with chart(5.5, 5.0) as (figure, axis):
        axis.barh(place + 0.2, [fits.correlation[n] for n in names], 0.4, label=f"with {plain(target)}")
        axis.barh(place - 0.2, [fits.partial[n] for n in names], 0.4, label=f"without {plain(control)}")
        axis.set_yticks(place, [plain(name) for name in names], fontsize="x-small")
        axis.set_xlabel("correlation")
        axis.legend(fontsize="small")
        save(figure, path)
