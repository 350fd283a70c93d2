"""Tables: the rows of CSV and TSV files, and the numbers in their cells."""

from __future__ import annotations

import csv
import itertools
import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from rk.errors import UserError, printable
from rk.reading.content import lines_of, read_text
from rk.record import record

SHOWN = 60
"""Characters of a cell that a message shows."""


def read_rows(path: Path, accepted: str | None = None, delimiters: str = ";\t,") -> Iterator[tuple[int, list[str]]]:
    """Yields the rows of a table (CSV, TSV) that are not blank, each with the number of its first line.

    Args:
        path: The file.
        accepted: What the file should be, as a hint.
        delimiters: What may separate cells: the first of these that the first row has, else the last of these.

    Raises:
        UserError: When the file cannot be read, or a quote is not closed.
    """
    yield from rows_of(read_text(path, accepted), path, accepted, delimiters)


def rows_of(
    text: str, path: Path | str, accepted: str | None = None, delimiters: str = ";\t,"
) -> Iterator[tuple[int, list[str]]]:
    """Yields the rows of a table as `read_rows` does, from a text that has been read.

    Args:
        text: The table, its lines ended by ``\\n``.
        path: The file that it is from.
        accepted: What the file should be, as a hint.
        delimiters: As for `read_rows`.

    Raises:
        UserError: When a quote is not closed, or a cell has more than 131072 characters.
    """
    name = printable(str(path))
    first = re.sub(r'"[^"\n]*"', "", text.lstrip("\n ")[:100_000].split("\n", 1)[0])
    delimiter = next((mark for mark in delimiters if mark in first), delimiters[-1])
    reader = csv.reader(lines_of(text, keep_ends=True), delimiter=delimiter, skipinitialspace=True, strict=True)
    line = 1
    try:
        for row in reader:
            if any(cell and not cell.isspace() for cell in row):
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        hint = f"close the quote, or write a quote inside of a cell twice; {accepted}" if accepted else None
        raise UserError(f"{name}:{line}: {_what_is_wrong(str(error))}", hint) from None


def _what_is_wrong(reason: str) -> str:
    if "field larger" in reason:
        return f"a cell has more than {csv.field_size_limit()} characters: a quote may be left open"
    if "unexpected end" in reason:
        return "a quote is opened and never closed"
    if "expected after" in reason:
        return "a closing quote is followed by more text"
    return reason


@record
class NamedRows:
    """The rows of a table below its names, as texts.

    Attributes:
        path: The file.
        names: Of the columns: the first row, where none of its cells is a number; None where one is.
        width: Cells of the first row.
        rows: The rows with values, each with the number of its first line; to be gone through once.
    """

    path: Path | str
    names: tuple[str, ...] | None
    width: int
    rows: Iterator[tuple[int, list[str]]]

    def place(self, line: int, column: int) -> str:
        """Returns the place of a cell, as `column_place` does."""
        return column_place(self.path, line, column, self.names)


def named_rows(
    text: str, path: Path | str, accepted: str | None = None, delimiters: str = ";\t,", *, equal: bool = True
) -> NamedRows:
    """Returns the rows of a table as `rows_of` finds them, with the names of its columns where the first row has some.

    Args:
        text: The table, its lines ended by ``\\n``.
        path: The file that it is from.
        accepted: What the file should be, as a hint.
        delimiters: As for `read_rows`.
        equal: Whether all rows must have as many cells as the first; the names must then differ, too.

    Raises:
        UserError: When it is empty, has names and no rows, or names a column twice; while the rows are gone through,
            as `rows_of` does, or when one has another length.
    """
    shown = printable(str(path))
    rows = rows_of(text, path, accepted, delimiters)
    line, first = next(rows, (0, []))
    if not first:
        raise UserError(f"{shown}: the file is empty", accepted)
    names = None if any(is_number(cell) for cell in first) else tuple(cell.strip() for cell in first)
    if names is not None:
        if equal:
            check_names(names, path, line)
        line, first = next(rows, (0, []))
        if not first:
            raise UserError(f"{shown}: there are names but no rows", accepted)
    width = len(first if names is None else names)
    found = itertools.chain([(line, first)], rows)
    return NamedRows(path, names, width, _equal(found, width, path, accepted) if equal else found)


def _equal(
    rows: Iterator[tuple[int, list[str]]], width: int, path: Path | str, accepted: str | None
) -> Iterator[tuple[int, list[str]]]:
    for line, row in rows:
        if len(row) != width:
            raise unequal(path, line, width, len(row), accepted)
        yield line, row


def unequal(path: Path | str, line: int, width: int, found: int, hint: str | None = None) -> UserError:
    """Returns the error of a row that has another number of cells than the first one.

    Args:
        path: The file.
        line: Of the row, from 1.
        width: Cells of the first row.
        found: Cells of this row.
        hint: How to fix it.
    """
    return UserError(f"{printable(str(path))}:{line}: expected {width} columns, got {found}", hint)


def check_names(names: Sequence[str], path: Path | str, line: int) -> None:
    """Raises `UserError` when two columns have the same name.

    Args:
        names: Of the columns.
        path: The file.
        line: On which the names are, from 1.
    """
    seen: dict[str, int] = {}
    for column, name in enumerate(names, 1):
        if name in seen:
            message = f"{printable(str(path))}:{line}: two columns have the same name, {name!r}"
            raise UserError(message, f"rename one of columns {seen[name]} and {column}")
        seen[name] = column


def column_place(path: Path | str, line: int, column: int, names: tuple[str, ...] | None = None) -> str:
    """Returns the place of a cell: ``rows.csv:12: column 'x'``, or ``column 3`` where columns have no names.

    Args:
        path: The file.
        line: From 1.
        column: From 0.
        names: Of the columns.
    """
    shown = repr(names[column]) if names is not None and column < len(names) else str(column + 1)
    return f"{printable(str(path))}:{line}: column {shown}"


def is_number(cell: object) -> bool:
    """Whether a cell of a table, or a value of a JSON document, is a finite number."""
    return math.isfinite(as_number(cell))


def as_number(cell: object) -> float:
    """Returns the number in a cell; NaN for anything but a finite number."""
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        return math.nan
    try:
        value = float(cell)
    except (ValueError, OverflowError):
        return math.nan
    return value if math.isfinite(value) and not (isinstance(cell, str) and "_" in cell) else math.nan


def number(cell: object, place: str) -> float:
    """Returns the number in a cell of a table, or in a value of a JSON document.

    Args:
        cell: The text, or the value.
        place: Where it is: ``rows.csv:12: column 'x'``.

    Raises:
        UserError: When it is anything but a finite number.
    """
    value = as_number(cell)
    if math.isfinite(value):
        return value
    raise not_a_number(cell, place)


def not_a_number(cell: object, place: str, hint: str | None = None) -> UserError:
    """Returns the error of a cell that should be a finite number.

    Args:
        cell: The text, or the value.
        place: Where it is.
        hint: How to fix it, where the cell alone does not show it.
    """
    if isinstance(cell, str) and not cell.strip():
        return UserError(f"{place}: expected a number, got an empty cell", hint or "fill it in, or leave the row out")
    try:
        infinite = not isinstance(cell, bool) and isinstance(cell, str | int | float) and not math.isfinite(float(cell))
    except OverflowError:
        infinite = True
    except ValueError:
        infinite = False
    expected = "a finite number" if infinite else "a number"
    if isinstance(cell, str) and re.fullmatch(r"\s*[+-]?\d+,\d+\s*", cell):
        hint = f"write a decimal point: {cell.strip().replace(',', '.')}"
    return UserError(f"{place}: expected {expected}, got {describe(cell)}", hint)


def describe(value: object) -> str:
    """Returns a cell or a JSON value as a message shows it: one line of at most 60 characters."""
    if isinstance(value, str):
        return repr(value if len(value) <= SHOWN else value[:SHOWN] + "...")
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    text = str(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."
