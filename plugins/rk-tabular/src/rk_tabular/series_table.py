"""The rows of series in a user's table: which columns hold dates, names, values and covariates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from rk import UserError
from rk.errors import printable
from rk.reading import read_bytes, text_of
from rk_tabular.delimited import read_cells
from rk_tabular.frame import ACCEPTED, Frame, read_frame
from rk_tabular.series_dates import AmbiguousDates, Dates, parse_dates
from rk_tabular.series_panel import SEPARATOR, Rows

LARGEST = 1e37
"""Numbers beyond it do not fit into float32 once they are scaled."""
LOOKED_AT = 200
"""Cells of a column that are looked at to see whether they are dates."""


@dataclass(frozen=True)
class Columns:
    """Which columns of a table are what.

    Attributes:
        time: The dates.
        target: What is predicted; each column is a series of its own.
        series: Columns whose values together name a series.
        past: Covariates that are known only until now.
        known: Covariates that are known of the future too.
    """

    time: str
    target: tuple[str, ...]
    series: tuple[str, ...] = ()
    past: tuple[str, ...] = ()
    known: tuple[str, ...] = ()


class Texts:
    """The dates of a table as they are written: `read_frame` keeps only what it made of them.

    Args:
        path: The file.
        frame: What `read_frame` made of it.
    """

    def __init__(self, path: Path, frame: Frame) -> None:
        self.path, self.frame = path, frame

    @cached_property
    def _cells(self) -> pl.DataFrame:
        """The cells of a delimited file as texts."""
        cells = read_cells(text_of(read_bytes(self.path, ACCEPTED), self.path, ACCEPTED), self.path, ACCEPTED)
        return cells.table.filter(pl.Series(np.isin(cells.lines, self.frame.lines)))

    def of(self, name: str) -> list[str | None]:
        """Returns the cells of a column as texts."""
        frame = self.frame
        if frame.format == "csv":
            return self._cells[:, frame.names.index(name)].to_list()
        column = frame.table[name]
        if isinstance(column.dtype, pl.Datetime):
            return [None if cell is None else cell.isoformat(" ") for cell in column]
        return column.cast(pl.String).to_list()

    def dates(self, name: str, day_first: bool | None, zone: tzinfo | None) -> Dates:
        """Returns a column as dates. Raises `rk.UserError` as `parse_dates` does."""
        return parse_dates(self.of(name), lambda row: self.frame.place(row, name), day_first, zone)

    def date_columns(self) -> list[str]:
        """Returns the columns whose first cells are all dates; a plain number of four digits is none."""
        found = []
        for name in self.frame.names:
            kind = self.frame.kinds[name]
            if kind not in ("date", "text") or (kind == "text" and not _like_dates(self.frame.table[name])):
                continue
            cells = [cell for cell in self.of(name)[:LOOKED_AT] if cell]
            if len(cells) < min(LOOKED_AT, len(self.frame)):
                continue
            try:
                parse_dates(cells, str)
            except AmbiguousDates:
                found.append(name)
            except UserError:
                continue
            else:
                found.append(name)
        return found


def _like_dates(column: pl.Series) -> bool:
    """Whether the first texts of a column have a year: some dates are texts for `read_frame`, such as 2024-Q1."""
    return bool(column.head(3).str.contains(r"\d{4}").all())


def open_table(path: Path) -> tuple[Frame, Texts]:
    """Returns a user's table, and the texts of its dates. Raises `rk.UserError` as `read_frame` does."""
    frame = read_frame(path)
    return frame, Texts(path, frame)


def table_rows(frame: Frame, dates: Dates, columns: Columns) -> Rows:
    """Returns the rows of a table as they are put in order later.

    Raises:
        rk.UserError: When a column is missing, is named twice, or values are not numbers.
    """
    used = [columns.time, *columns.target, *columns.series, *columns.past, *columns.known]
    for name in used:
        frame.column(name)
    twice = next((name for i, name in enumerate(used) if name in used[:i]), None)
    if twice is not None:
        raise UserError(f"{printable(str(frame.path))}: the column {twice!r} is used twice", "each column has one use")
    names = np.array([""] * len(frame), dtype=object)
    if columns.series:
        texts = [frame.table[name].cast(pl.String).fill_null("(empty)").to_list() for name in columns.series]
        names = np.array([SEPARATOR.join(row) for row in zip(*texts, strict=True)], dtype=object)
    return Rows(
        dates.stamps,
        names.astype(str),
        _numbers(frame, columns.target),
        columns.target,
        _numbers(frame, columns.past),
        _numbers(frame, columns.known),
        lambda row: f"{printable(str(frame.path))}:{frame.lines[row]}",
    )


def _numbers(frame: Frame, names: Sequence[str]) -> np.ndarray:
    """Returns columns as float64, (rows, columns), NaN where there is a gap."""
    found = np.full((len(frame), len(names)), np.nan)
    for i, name in enumerate(names):
        found[:, i] = frame.numbers(name).fill_null(float("nan")).to_numpy()
        beyond = np.flatnonzero(np.abs(found[:, i]) > LARGEST)
        if len(beyond):
            place = frame.place(int(beyond[0]), name)
            raise UserError(f"{place}: {found[beyond[0], i]:g} is beyond float32", "scale the values")
    return found
