"""A user's table: parsed columns, and the line of each row for messages."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from rk import UserError
from rk.errors import printable, suggest
from rk.reading import (
    as_number,
    check_names,
    column_place,
    describe,
    encoding_of,
    not_a_number,
    parse_json,
    read_bytes,
    text_of,
)
from rk_tabular.delimited import read_cells
from rk_tabular.parsing import Fault, Kind, Parsed, as_text, is_gap, looks_like_date, parse

ACCEPTED = "a table: CSV, TSV, Parquet, or JSON lines with an object on each line; each also inside a gzip file"
ENDINGS = (".csv", ".tsv", ".tab", ".parquet", ".jsonl", ".ndjson")
"""Endings of the files that `read_frame` takes; each may be followed by ``.gz``."""
Format = Literal["csv", "jsonl", "parquet"]


class NotATable(UserError):
    """JSON lines that are not the rows of a table: other data may read them."""


@dataclass(frozen=True)
class Frame:
    """A table of a user.

    Attributes:
        path: The file.
        table: Its columns: Int64 or Float64 (never NaN or infinite), Datetime in microseconds, String (never empty);
            null where there is a gap.
        lines: (rows,) The line on which each row begins, from 1; of a Parquet file, the row.
        format: What kind of file it is.
        kinds: Column -> what it holds: ``number``, ``date``, ``text``, ``empty``.
        header: Whether the file names its columns. Without names they are ``column_1``, ``column_2``, ...
        delimiter: What separates cells; None where nothing does.
        decimal: The mark of decimals.
        encoding: ``utf-8``, ``utf-8-sig`` with a byte order mark, ``utf-16``, ``utf-32``; None for Parquet.
        gaps: Column -> the words that were read as gaps.
        faults: Column -> the first cell that keeps it from being numbers or dates, as most of its cells are.
        notes: Column -> what was guessed and might be wrong.
        day_first: Column of dates that could have two orders -> whether the day is first.
    """

    path: Path
    table: pl.DataFrame
    lines: NDArray[np.int64]
    format: Format
    kinds: dict[str, Kind]
    header: bool = True
    delimiter: str | None = None
    decimal: str = "."
    encoding: str | None = None
    gaps: dict[str, tuple[str, ...]] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    day_first: dict[str, bool] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.table.height

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, in the order of the file."""
        return tuple(self.table.columns)

    def column(self, name: str | int) -> str:
        """Returns the name of a column.

        Args:
            name: Its name, or its place: from 1, or from the end with -1.

        Raises:
            rk.UserError: When there is no such column.
        """
        if isinstance(name, str) and name in self.table.columns:
            return name
        if isinstance(name, int) and 1 <= abs(name) <= self.table.width:
            return self.names[name - 1 if name > 0 else name]
        shown = printable(str(self.path))
        if isinstance(name, int):
            raise UserError(
                f"{shown}: there is no column {name}", f"columns: 1 to {self.table.width}, or -1 for the last"
            )
        raise UserError(f"{shown}: there is no column {name!r}", suggest(name, self.names, "columns"))

    def place(self, row: int, name: str) -> str:
        """Returns the place of a cell: ``rows.csv:12: column 'x'``.

        Args:
            row: From 0.
            name: Of the column.
        """
        names = self.names if self.header else None
        return column_place(self.path, int(self.lines[row]), self.names.index(name), names)

    def check(self, name: str) -> None:
        """Raises `rk.UserError` for a column that is mostly numbers, or mostly dates, and holds something else too."""
        fault = self.faults.get(name)
        if fault is None:
            return
        place = self.place(fault.row, name)
        if fault.expected == "a number":
            words = "leave the cell empty where the value is not known"
            raise not_a_number(fault.cell, place, fault.hint or words)
        raise UserError(f"{place}: expected {fault.expected}, got {describe(fault.cell)}", fault.hint)

    def numbers(self, name: str) -> pl.Series:
        """Returns a column of numbers as Float64, null where there is a gap.

        Raises:
            rk.UserError: When it holds anything else; the first such cell is named.
        """
        self.check(name)
        if self.kinds[name] in ("number", "empty"):
            return self.table[name].cast(pl.Float64, strict=False)
        rows = (i for i, cell in enumerate(self.table[name]) if cell is not None and not _numeric(cell))
        row = next(rows, self.table[name].is_not_null().arg_true()[0])
        raise not_a_number(str(self.table[name][row]), self.place(row, name))

    def dates(self, name: str) -> pl.Series:
        """Returns a column of dates as Datetime in microseconds, null where there is a gap.

        Raises:
            rk.UserError: When it holds anything else; the first cell is named.
        """
        self.check(name)
        if self.kinds[name] in ("date", "empty"):
            return self.table[name].cast(pl.Datetime("us"))
        row = self.table[name].is_not_null().arg_true()[0]
        got = describe(self.table[name][row])
        raise UserError(f"{self.place(row, name)}: expected a date such as 2020-12-31, got {got}")

    def texts(self, name: str) -> pl.Series:
        """Returns a column as texts, null where there is a gap: whole numbers without a point, dates as ISO 8601."""
        column = self.table[name]
        if column.dtype == pl.Float64 and bool((column == column.round()).all()) and bool((column.abs() < 2**53).all()):
            return column.cast(pl.Int64).cast(pl.String)
        return column.dt.to_string("iso") if column.dtype == pl.Datetime else column.cast(pl.String)

    def renamed(self, names: Sequence[str]) -> Frame:
        """Returns the frame with other names of its columns, one for each."""
        new = dict(zip(self.names, names, strict=True))
        return replace(
            self,
            table=self.table.rename(new),
            kinds={new[name]: kind for name, kind in self.kinds.items()},
            gaps={new[name]: words for name, words in self.gaps.items()},
            faults={new[name]: fault for name, fault in self.faults.items()},
            notes={new[name]: note for name, note in self.notes.items()},
            day_first={new[name]: first for name, first in self.day_first.items()},
        )

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> Frame:
        """Returns the frame of some rows, without faults: they are to be checked before."""
        chosen = np.asarray(rows, np.int64)
        return replace(self, table=self.table[chosen], lines=self.lines[chosen], faults={})


def read_frame(
    path: Path,
    *,
    header: bool | None = None,
    day_first: bool | None = None,
    texts: Collection[str | int] = (),
) -> Frame:
    """Reads a table: CSV, TSV, Parquet or JSON lines, also inside a gzip file.

    The delimiter, decimal commas, the encoding, a first line of names and the types of columns are found. Columns that
    cannot be numbers or dates because of some cells are texts, and have an entry in ``faults``.

    Args:
        path: The file.
        header: Whether the first row of a delimited file has names; None: it has where none of its cells is a number
            or a date, and most of them occur nowhere below.
        day_first: Whether 01/02/2020 is in February; None: as the other dates of the column show, else yes.
        texts: Columns that stay texts, whatever they hold, by name or by place from 1 (-1 is the last): class names
            such as 01. A column that is not there is no mistake here.

    Raises:
        rk.UserError: When it cannot be read, is empty, or is damaged; the message names the line.
    """
    content = read_bytes(path, ACCEPTED)
    if content.startswith(b"PAR1"):
        return _parquet(content, path, day_first, texts)
    text = text_of(content, path, ACCEPTED)
    encoding = encoding_of(content)
    if path.name.lower().removesuffix(".gz").endswith((".jsonl", ".ndjson")):
        return _json_lines(text, path, encoding, day_first, texts)
    cells = read_cells(text, path, ACCEPTED)
    table, lines = cells.table, cells.lines
    names = table.columns
    if named := _has_names(table) if header is None else header:
        names = _names(table, int(lines[0]), path)
        table, lines = table[1:], lines[1:]
        if not table.height:
            raise UserError(f"{printable(str(path))}: there are names but no rows", ACCEPTED)
    kept = _places(texts, names)
    columns = [
        as_text(series) if i in kept else parse(series, cells.delimiter, day_first)
        for i, series in enumerate(table[:, i].rename(name) for i, name in enumerate(names))
    ]
    decimal = "," if any(column.decimal == "," for column in columns) else "."
    frame = _frame(path, columns, lines, "csv")
    return replace(frame, header=named, delimiter=cells.delimiter, decimal=decimal, encoding=encoding)


def _places(texts: Collection[str | int], names: Sequence[str]) -> set[int]:
    """Returns the places, from 0, of the columns that are named by a name or a place from 1."""
    found = {names.index(name) for name in texts if isinstance(name, str) and name in names}
    return found | {p - 1 if p > 0 else len(names) + p for p in texts if isinstance(p, int) and abs(p) <= len(names)}


_NAMES_TOO = ("none", "nil", "missing", "unknown")
"""Words for a missing value that name columns too."""


def _has_names(table: pl.DataFrame) -> bool:
    """Whether the first row has names rather than values."""
    first = ["" if cell is None else cell.strip() for cell in table.row(0)]
    if any(
        _numeric(cell) or looks_like_date(cell) or (cell and is_gap(cell) and cell.lower() not in _NAMES_TOO)
        for cell in first
    ):
        return False
    below = table[1:]
    again = sum(bool(cell) and bool((below[:, i] == cell).any()) for i, cell in enumerate(first))
    return 2 * again < len(first)


def _numeric(cell: object) -> bool:
    value = as_number(cell.replace(",", ".") if isinstance(cell, str) else cell)
    return value == value  # not NaN


def _names(table: pl.DataFrame, line: int, path: Path) -> list[str]:
    """Returns the names in the first row. Raises `rk.UserError` when two are the same."""
    names = [(name or "").strip() or f"column_{i + 1}" for i, name in enumerate(table.row(0))]
    check_names(names, path, line)
    return names


def _frame(path: Path, columns: list[Parsed], lines: NDArray[np.int64], kind: Format) -> Frame:
    """Returns the frame of parsed columns, without the rows in which all cells are gaps."""
    table = pl.DataFrame([column.values for column in columns])
    if table.height and (blank := table.select(pl.all_horizontal(pl.all().is_null())).to_series()).any():
        kept = (~blank).arg_true().to_numpy()
        if not len(kept):
            raise UserError(f"{printable(str(path))}: there are no values: all cells are empty", ACCEPTED)
        table, lines = table[kept], lines[kept]
        place = {int(row): i for i, row in enumerate(kept)} if any(c.fault for c in columns) else {}
    else:
        place = {c.fault.row: c.fault.row for c in columns if c.fault}
    named = [(column.values.name, column) for column in columns]
    return Frame(
        path,
        table,
        lines,
        kind,
        {name: column.kind for name, column in named},
        gaps={name: column.gaps for name, column in named if column.gaps},
        faults={n: Fault(place[f.row], f.cell, f.expected, f.hint) for n, c in named if (f := c.fault)},
        notes={name: column.note for name, column in named if column.note},
        day_first={name: column.day_first for name, column in named if column.day_first is not None},
    )


# -- JSON lines and Parquet -------------------------------------------------------------------------------------------


def _json_lines(text: str, path: Path, encoding: str, day_first: bool | None, texts: Collection[str | int]) -> Frame:
    content = text.encode()
    codes = np.frombuffer(content, np.uint8)
    ends = np.concatenate([np.flatnonzero(codes == 10), [len(codes)]])
    starts = np.concatenate([[0], ends[:-1] + 1])
    filled = np.flatnonzero(ends > starts)
    if len(short := filled[ends[filled] - starts[filled] < 2]):  # an object has two characters or more
        blank = {int(i) for i in short if not content[starts[i] : ends[i]].strip()}
        filled = np.array([i for i in filled if int(i) not in blank], np.int64)
    if not len(filled):
        raise UserError(f"{printable(str(path))}: the file is empty", ACCEPTED)
    try:
        table = pl.read_ndjson(io.BytesIO(content), infer_schema_length=None)
    except (pl.exceptions.PolarsError, ValueError):
        table = None
    if table is None or table.height != len(filled) or not table.width or _nested(table):
        table = pl.DataFrame(_objects(text, path, filled), infer_schema_length=None, strict=False)
    columns = _typed_columns(table, path, day_first, texts)
    return replace(_frame(path, columns, filled + 1, "jsonl"), encoding=encoding)


def _nested(table: pl.DataFrame) -> bool:
    return any(kind.is_nested() for kind in table.dtypes)


def _objects(text: str, path: Path, rows: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Returns the objects of JSON lines, read one by one. Raises `rk.UserError` with the line of what is wrong."""
    lines = text.split("\n")
    found = []
    for row in rows:
        value = parse_json(lines[row], path, int(row) + 1, ACCEPTED)
        place = f"{printable(str(path))}:{row + 1}"
        if not isinstance(value, dict):
            raise NotATable(f"{place}: expected an object, got {describe(value)}", ACCEPTED)
        for name, cell in value.items():
            if isinstance(cell, list | dict):
                raise NotATable(f"{place}: column {name!r}: expected one value, got {describe(cell)}", ACCEPTED)
        found.append({name: str(cell).lower() if isinstance(cell, bool) else cell for name, cell in value.items()})
    if not any(found):
        raise UserError(f"{printable(str(path))}: the objects have no keys", ACCEPTED)
    return found


def _parquet(content: bytes, path: Path, day_first: bool | None, texts: Collection[str | int]) -> Frame:
    shown = printable(str(path))
    try:
        table = pl.read_parquet(io.BytesIO(content))
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        reason = str(error).split("\n", 1)[0]
        raise UserError(f"{shown}: the Parquet file is damaged: {reason}", "copy or download it again") from None
    if not table.height or not table.width:
        raise UserError(f"{shown}: there are no rows", ACCEPTED)
    columns = _typed_columns(table, path, day_first, texts)
    return _frame(path, columns, np.arange(1, table.height + 1), "parquet")


def _typed_columns(
    table: pl.DataFrame, path: Path, day_first: bool | None, texts: Collection[str | int]
) -> list[Parsed]:
    names = [name.strip() or f"column_{i + 1}" for i, name in enumerate(table.columns)]
    check_names(names, path, 1)
    kept = _places(texts, names)
    columns = [series.rename(name) for series, name in zip(table.get_columns(), names, strict=True)]
    return [
        as_text(series) if i in kept and series.dtype == pl.String else _typed(series, path, day_first)
        for i, series in enumerate(columns)
    ]


def _typed(series: pl.Series, path: Path, day_first: bool | None) -> Parsed:
    """Returns a column that has a type of its own."""
    kind = series.dtype
    if kind == pl.Null:
        return Parsed(series.cast(pl.String), "empty")
    if isinstance(kind, pl.String):
        return parse(series, day_first=day_first)
    if isinstance(kind, pl.Categorical | pl.Enum | pl.Boolean):
        return Parsed(series.cast(pl.String), "text")
    if kind.is_integer() and not isinstance(kind, pl.UInt64 | pl.Int128):
        return Parsed(series.cast(pl.Int64), "number" if series.null_count() < len(series) else "empty")
    if kind.is_numeric():
        values = series.cast(pl.Float64)
        values = values.set(~values.is_finite(), None)
        return Parsed(values, "number" if values.null_count() < len(values) else "empty")
    if isinstance(kind, pl.Date | pl.Datetime):
        dates = series if isinstance(kind, pl.Date) or kind.time_zone is None else series.dt.convert_time_zone("UTC")
        naive = dates.dt.replace_time_zone(None) if isinstance(dates.dtype, pl.Datetime) else dates
        return Parsed(naive.cast(pl.Datetime("us")), "date")
    if isinstance(kind, pl.Duration | pl.Time):
        return Parsed(series.cast(pl.Int64).cast(pl.Float64), "number")
    place = f"{printable(str(path))}: column {series.name!r}"
    raise UserError(f"{place}: expected numbers, texts or dates, got {str(kind).lower()}", ACCEPTED)
