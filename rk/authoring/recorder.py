"""A callback that measures at each validation, with the state, the table and the figure that go with it."""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rk.errors import UserError, suggest
from rk.runs import RunFolder
from rk.writing import write_csv

if TYPE_CHECKING:
    from rk.fit.context import FitContext
    from rk.protocols import State


@dataclass
class Record:
    """Numbers over the steps of a run.

    Attributes:
        steps: Where they were measured.
        rows: What was measured at each of these steps.
    """

    steps: list[int] = field(default_factory=list)
    rows: list[list[float]] = field(default_factory=list)

    def add(self, step: int, row: Iterable[float]) -> None:
        """Adds what was measured at `step`."""
        self.steps.append(step)
        self.rows.append(list(row))

    def write(self, path: Path, column: str) -> None:
        """Writes one line per step: the step, then the columns ``column 0``, ``column 1``, ..."""
        width = len(self.rows[0]) if self.rows else 0
        lines = ([step, *row] for step, row in zip(self.steps, self.rows, strict=True))
        write_csv(path, ["step", *(f"{column} {k}" for k in range(width))], lines)

    @classmethod
    def read(cls, path: Path) -> Record:
        """Reads what `write` has written. Raises `UserError` for any other file."""
        try:
            with path.open(newline="", encoding="utf-8") as file:
                _, *rows = csv.reader(file)
            return cls([int(row[0]) for row in rows], [[float(x) for x in row[1:]] for row in rows])
        except (OSError, ValueError, IndexError) as error:
            raise UserError(f"{path} cannot be read: {error}") from None


class Recorder(ABC):
    """Measures at each validation; at the end the run has a table and a figure of all that was measured.

    A subclass gives `measure` and `draw`, and `table` where the table is not one line per step. What was measured
    survives a kill: it is in every checkpoint. A step that is validated twice is measured once.

    Attributes:
        name: The callback's name, for messages: a literal in the subclass.
        stem: Name of the table and of the figure, without ending: a literal in the subclass.
        column: What one number of a line is called in the table.
        record: What was measured so far.

    Args:
        split: The split that is measured.
    """

    name: str
    stem: str
    column: str = "value"

    def __init__(self, split: str = "val") -> None:
        self.split = split
        self.record = Record()

    @abstractmethod
    def measure(self, fit: FitContext) -> Iterable[float]:
        """Returns what is measured of the learner now."""

    @abstractmethod
    def draw(self, fit: FitContext, path: Path) -> None:
        """Draws the record into the image file `path`."""

    def table(self, path: Path) -> None:
        """Writes the record into the CSV file `path`: one line per step."""
        self.record.write(path, self.column)

    def fit_start(self, fit: FitContext) -> None:
        """Refuses a split that the data does not have."""
        splits: Sequence[str] = getattr(fit.data, "splits", ())
        if self.split not in splits:
            message = f"{self.name}: the data has no split {self.split!r}"
            raise UserError(message, suggest(self.split, splits, "splits"))

    def take(self, fit: FitContext) -> None:
        """Measures, unless this step has been measured already."""
        if not self.record.steps or self.record.steps[-1] != fit.step:
            self.record.add(fit.step, self.measure(fit))

    def validated(self, fit: FitContext, metrics: Mapping[str, float]) -> None:
        """Measures."""
        self.take(fit)

    def fit_end(self, fit: FitContext) -> None:
        """Writes the table into the run's folder, and the figure among the run's figures."""
        if not self.record.steps or not fit.runtime.is_main:
            return
        folder = RunFolder(fit.folder)
        self.table(folder.path / f"{self.stem}.csv")
        folder.figures.mkdir(exist_ok=True)
        self.draw(fit, folder.figures / f"{self.stem}.png")

    def state_dict(self) -> State:
        """Returns the record."""
        return {"steps": list(self.record.steps), "rows": [list(row) for row in self.record.rows]}

    def load_state_dict(self, state: State) -> None:
        """Takes `state_dict`'s result back."""
        self.record = Record(list(state["steps"]), [list(row) for row in state["rows"]])
