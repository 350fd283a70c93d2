"""Users' files of labelled examples: tables with a head, and JSON, one dict of cells per example."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rk import UserError
from rk.reading import describe, read_json, read_json_lines, read_rows

JSON_LINES = (".jsonl", ".ndjson")
TABLES = (".csv", ".tsv")


@dataclass
class Record:
    """One example of a file.

    Attributes:
        line: Its first line, from 1; for an entry of a JSON list, the number of the entry.
        cells: Column -> text of a table, or any value of a JSON object.
    """

    line: int
    cells: dict[str, Any]


@dataclass
class Records:
    """The examples of one file.

    Attributes:
        path: The file.
        names: Its columns, in the order of the file.
        rows: The examples.
    """

    path: Path
    names: list[str]
    rows: list[Record] = field(default_factory=list)

    def place(self, row: Record, name: str) -> str:
        """Returns the place of a cell for a message: ``rows.csv:12: column 'x'``."""
        return f"{self.path}:{row.line}: column {name!r}"

    def text(self, row: Record, name: str, what: str) -> str:
        """Returns a cell as a text without white space around it; a number of JSON as it is written there.

        Raises:
            UserError: When it is empty, or neither a text nor a number.
        """
        cell = row.cells.get(name)
        if isinstance(cell, bool) or not isinstance(cell, str | int | float):
            found = "nothing" if cell is None else describe(cell)
        elif text := str(cell).strip():
            return text
        else:
            found = "an empty cell"
        raise UserError(f"{self.place(row, name)}: expected {what}, got {found}")

    def need(self, name: str, parameter: str) -> str:
        """Returns the name of a column. Raises `UserError` when there is no such column."""
        if name not in self.names:
            shown = ", ".join(other[:40] for other in self.names[:10])
            raise UserError(f"{self.path}: there is no column {name!r}", f"{parameter}: {shown}")
        return name

    def column(self, name: str) -> list[Any]:
        """Returns the cells of a column; None where an object of JSON lacks it."""
        return [row.cells.get(name) for row in self.rows]


def ending(path: Path) -> str:
    """Returns the ending of a file in lower case, without that of gzip."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def read_records(path: Path, accepted: str) -> Records:
    """Reads a table with a head (CSV, TSV), JSON lines, or a JSON object or list of objects, by the file's ending.

    Args:
        path: The file; ``.gz`` may follow its ending.
        accepted: What the file should be, as a hint.

    Raises:
        UserError: When it cannot be read, has no example, a row of another width than the head, or a name twice.
    """
    kind = ending(path)
    found = _from_json(path, kind, accepted) if kind in (*JSON_LINES, ".json") else _from_table(path, kind, accepted)
    if not found.rows:
        raise UserError(f"{path}: there is no example in the file", accepted)
    return found


def _from_table(path: Path, kind: str, accepted: str) -> Records:
    # a head without a separator is that of one column, whose cells may hold any separator
    table = read_rows(path, accepted, f"{'' if kind == '.tsv' else ';'}\t{'' if kind == '.tsv' else ','}\x1f")
    _, head = next(table, (1, []))
    names = [name.strip() for name in head]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"{path}:1: the column {twice[0]!r} is there twice", "give each its own name")
    found = Records(path, names)
    for line, cells in table:
        if len(cells) != len(names):
            raise UserError(
                f"{path}:{line}: expected {len(names)} cells, as in the first line, got {len(cells)}",
                "put a cell that holds the separator into quotes",
            )
        found.rows.append(Record(line, dict(zip(names, cells, strict=True))))
    return found


def _from_json(path: Path, kind: str, accepted: str) -> Records:
    found = Records(path, [])
    for line, value in read_json_lines(path, accepted) if kind in JSON_LINES else _entries(path, accepted):
        if not isinstance(value, dict):
            raise UserError(f"{path}:{line}: expected an object, got {describe(value)}", accepted)
        found.rows.append(Record(line, value))
    found.names = list(dict.fromkeys(name for row in found.rows for name in row.cells))
    return found


def _entries(path: Path, accepted: str) -> Iterator[tuple[int, Any]]:
    value = read_json(path, accepted)
    yield from enumerate(value if isinstance(value, list) else [value], 1)


def named(names: Sequence[str], usual: Sequence[str]) -> str | None:
    """Returns the first of the `usual` names that a column has, in any case; None where none has."""
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[name] for name in usual if name in lower), None)
