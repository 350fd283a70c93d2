"""Tables of numbers out of CSV files, with a line of names or without."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from rk import UserError
from rk.errors import suggest
from rk.reading import as_number, column_place, named_rows, not_a_number, read_text

ACCEPTED = "a CSV file of numbers: one row each, separated by commas, with a first line of names or without"


@dataclass(frozen=True)
class Table:
    """The cells of a file as numbers, with the names of its columns where the file has them.

    Columns with values that are not finite numbers are an error only when their numbers are used.

    Attributes:
        path: The file.
        cells: NaN where a cell is not a finite number.
        lines: The line of each row, from 1.
        names: Of the columns.
        faults: Column -> line and text of its first cell that is not a finite number.
    """

    path: Path
    cells: Float[Tensor, "rows columns"]
    lines: Sequence[int]
    names: tuple[str, ...] | None = None
    faults: dict[int, tuple[int, str]] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """The number of columns."""
        return self.cells.shape[1]

    @property
    def values(self) -> Float[Tensor, "rows columns"]:
        """The numbers of all columns. Raises `rk.UserError` as `numbers` does."""
        return self.numbers(range(self.width))

    def numbers(self, columns: Sequence[int]) -> Float[Tensor, "rows chosen"]:
        """Returns the numbers of some columns, in their order.

        Args:
            columns: From 0.

        Raises:
            rk.UserError: When one of them holds anything but finite numbers; the first such cell is named.
        """
        if wrong := [(*self.faults[c], c) for c in columns if c in self.faults]:
            line, text, column = min(wrong)
            raise not_a_number(text, self.place(line, column), self._advice(line))
        return self.cells[:, list(columns)]

    def column(self, name: str) -> int:
        """Returns the number of the column `name`, from 0. Raises `rk.UserError` when there is none."""
        if self.names is None:
            raise UserError(f"{self.path}: there is no column {name!r}", "columns: its first line has no names")
        if name not in self.names:
            raise UserError(f"{self.path}: there is no column {name!r}", suggest(name, self.names, "columns"))
        return self.names.index(name)

    def place(self, line: int, column: int) -> str:
        """Returns the place of a cell: file, line and column."""
        return column_place(self.path, line, column, self.names)

    def _advice(self, line: int) -> str:
        if self.names is None and line == self.lines[0]:
            return "a first line of names holds no numbers"
        return "the columns that are used hold numbers alone: fill gaps, and write words as numbers, or drop the column"


def read_table(path: Path) -> Table:
    """Reads a CSV file, or one inside a gzip file; commas, semicolons or tabs separate the cells.

    Raises:
        rk.UserError: When it cannot be read, is empty, or has rows of unequal length.
    """
    found = named_rows(read_text(path, ACCEPTED), path, ACCEPTED)
    values, lines = array("d"), array("q")
    faults: dict[int, tuple[int, str]] = {}
    for line, row in found.rows:
        for column, cell in enumerate(row):
            value = as_number(cell)
            if math.isnan(value):
                faults.setdefault(column, (line, cell))
            values.append(value)
        lines.append(line)
    cells = torch.frombuffer(values, dtype=torch.float64).view(-1, found.width)
    return Table(path, cells, lines, found.names, faults)
