"""Users' files of series: .ts of the UCR and UEA archives, wide and long tables, JSON lines."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from rk import UserError
from rk.reading import column_place, describe, is_number, lines_of, not_a_number, number, read_rows, read_text
from rk_sequence.records import JSON_LINES, Record, Records, ending, named, read_records

LABEL_NAMES = ("label", "labels", "class", "category", "target", "y")
ID_NAMES = ("id", "series", "series_id", "sequence", "sequence_id", "case", "sample")
TIME_NAMES = ("time", "t", "step", "timestamp", "date", "index")
VALUE_NAMES = ("series", "values", "inputs", "x", "data")
MISSING = ("", "?", "nan", "na", "null")
"""Cells, in small letters, that hold no number: the value before it counts."""
MOST_CLASSES = 20
"""Most different labels that are whole numbers and still classes."""
ACCEPTED = "give a .ts file, a table (CSV, TSV) with a row per series or per step, or JSON lines"


@dataclass
class Series:
    """One series of a file.

    Attributes:
        values: (steps, channels).
        label: Its class or number as it is written, or None where it has none.
        place: Where it is, for messages: ``rows.csv:12``.
        target: Whether the file itself says that labels are classes, or numbers.
    """

    values: Float[Tensor, "steps channels"]
    label: str | None
    place: str
    target: Literal["class", "number"] | None = None


@dataclass
class Columns:
    """The columns of a table that the user has named; None: they are guessed.

    Attributes:
        label: Of classes or numbers.
        id: Of a long table: which series a row belongs to.
        time: Of a long table: its order.
    """

    label: str | None = None
    id: str | None = None
    time: str | None = None


def read_series(path: Path, columns: Columns, labelled: bool, longest: int | None = None) -> list[Series]:
    """Reads a file of series by its ending.

    Args:
        path: The file; ``.gz`` may follow its ending.
        columns: Those that are named.
        labelled: Whether every series must have a label; else it may.
        longest: Most steps of a series, where it is known: in a table without a head that has no labels, a row with one
            number more begins with its class.

    Raises:
        UserError: When the file cannot be read, has no series, or what should be a number is none.
    """
    kind = ending(path)
    if kind == ".ts":
        found = list(_read_ts(path))
    elif kind in (*JSON_LINES, ".json"):
        found = _from_json(read_records(path, ACCEPTED), columns)
    else:
        found = _from_table(path, columns, labelled, longest)
    if not found:
        raise UserError(f"{path}: there is no series in the file", ACCEPTED)
    widths = {series.values.shape[1] for series in found[:1]}
    for series in found:
        if series.values.shape[1] not in widths:
            raise UserError(
                f"{series.place}: expected {min(widths)} channels, as in the first series, got {series.values.shape[1]}"
            )
        if labelled and series.label is None:
            raise UserError(f"{series.place}: expected a label, got nothing", "data.label names its column")
    return found


# -- .ts ---------------------------------------------------------------------------------------------------------------


def _read_ts(path: Path) -> Iterator[Series]:
    """Yields the series of a .ts file: a line each, channels ended by colons, the label last."""
    shown = str(path)
    says: Literal["class", "number"] | None = None
    has_data = False
    for line, text in enumerate(lines_of(read_text(path, ACCEPTED)), 1):
        text = text.strip()
        if not text or text.startswith("#"):
            continue
        if not has_data:
            key, *rest = text.lower().split()
            if not key.startswith("@"):
                raise UserError(f"{shown}:{line}: expected a line that begins with @, got {describe(text)}", ACCEPTED)
            if key in ("@classlabel", "@targetlabel") and rest[:1] == ["true"]:
                says = "class" if key == "@classlabel" else "number"
            if key == "@timestamps" and rest[:1] == ["true"]:
                raise UserError(f"{shown}:{line}: time stamps in a .ts file are not read", "write it as a long table")
            has_data = key == "@data"
            continue
        parts = text.split(":")
        label = parts.pop().strip() if says else None
        place = f"{shown}:{line}"
        channels = [_numbers(part.split(","), f"{place}: channel {i}") for i, part in enumerate(parts, 1)]
        yield Series(_stacked(channels, place), label, place, says)
    if not has_data:
        raise UserError(f"{shown}: expected a line @data, got none", ACCEPTED)


def _numbers(cells: Sequence[Any], place: str) -> list[float]:
    """Returns the numbers of one channel, NaN where one is missing."""
    return [
        math.nan if _is_missing(cell) else number(cell, f"{place}, step {step}") for step, cell in enumerate(cells, 1)
    ]


def _is_missing(cell: object) -> bool:
    return cell is None or (isinstance(cell, str) and cell.strip().lower() in MISSING)


def _stacked(channels: list[list[float]], place: str) -> Float[Tensor, "steps channels"]:
    lengths = {len(channel) for channel in channels}
    if not channels or lengths == {0}:
        raise UserError(f"{place}: expected a series of numbers, got none")
    if len(lengths) > 1:
        raise UserError(f"{place}: expected channels of one length, got {min(lengths)} and {max(lengths)} steps")
    return filled(torch.tensor(channels, dtype=torch.float32).T.contiguous(), place)


def filled(values: Float[Tensor, "steps channels"], place: str) -> Float[Tensor, "steps channels"]:
    """Returns a series whose missing numbers are the last ones before them, at the beginning the first after them.

    Raises:
        UserError: When a channel has no number at all.
    """
    missing = values.isnan()
    if not missing.any():
        return values
    if missing.all(0).any():
        channel = int(missing.all(0).nonzero()[0]) + 1
        raise UserError(f"{place}: channel {channel} has no number", "leave the series out")
    step = torch.arange(len(values)).unsqueeze(1)
    last = torch.where(missing, -1, step).cummax(0).values
    first = (~missing).float().argmax(0)
    return values.gather(0, torch.where(last < 0, first, last))


# -- tables ------------------------------------------------------------------------------------------------------------


def _from_table(path: Path, columns: Columns, labelled: bool, longest: int | None) -> list[Series]:
    """Reads a table with a row per series or, where a column repeats ids, a row per step."""
    rows = list(read_rows(path, ACCEPTED, "\t;," if ending(path) == ".tsv" else ";\t,"))
    if not rows:
        return []
    if all(is_number(cell) or _is_missing(cell) for cell in rows[0][1]):
        return _without_head(path, rows, columns, labelled, longest)
    names = [name.strip() for name in rows[0][1]]
    table = Records(path, names)
    for line, cells in rows[1:]:
        if len(cells) > len(names):
            raise UserError(f"{path}:{line}: expected {len(names)} cells, as in the first line, got {len(cells)}")
        table.rows.append(Record(line, dict(zip(names, cells, strict=False))))
    chosen = columns.id and table.need(columns.id, "data.id")
    chosen = chosen or (named(names, ID_NAMES) if named(names, TIME_NAMES) or _repeats(table) else None)
    label = columns.label if columns.label in names else named(names, LABEL_NAMES)
    if labelled and columns.label is not None:
        label = table.need(columns.label, "data.label")
    if labelled and label is None:
        label = _odd_column(table, chosen)
    return _long(table, chosen, columns.time, label) if chosen else _wide(table, label)


def _repeats(table: Records) -> bool:
    """Whether the table has a column of ids that repeat."""
    name = named(table.names, ID_NAMES)
    return name is not None and len(set(table.column(name))) < len(table.rows)


def _odd_column(table: Records, id_name: str | None) -> str:
    """Returns the one column of a table that is not of numbers, which the labels are."""
    odd = [n for n in table.names if n != id_name and not all(is_number(c) or _is_missing(c) for c in table.column(n))]
    if len(odd) != 1:
        found = f"several columns of text: {', '.join(odd[:5])}" if odd else "only columns of numbers"
        raise UserError(f"{table.path}: expected a column `label`, got {found}", "data.label names it")
    return odd[0]


def _without_head(
    path: Path, rows: list[tuple[int, list[str]]], columns: Columns, labelled: bool, longest: int | None
) -> list[Series]:
    """Reads a table of numbers alone: a row per series, as the UCR archive writes it, with the class in front."""
    if labelled and columns.label is not None:
        raise UserError(f"{path}: there is no column {columns.label!r}", "its columns have no names")
    found = []
    for line, cells in rows:
        first = int(labelled or (longest is not None and len(cells) == longest + 1))
        place = f"{path}:{line}"
        label = cells[0].strip() if first else None
        found.append(
            _row(cells[first:], label, place, [column_place(path, line, c + first) for c in range(len(cells))])
        )
    return found


def _wide(table: Records, label: str | None) -> list[Series]:
    steps = [name for name in table.names if name != label and name.lower() not in ID_NAMES]
    found = []
    for row in table.rows:
        values = [row.cells.get(name, "") for name in steps]
        shown = _label(row.cells.get(label)) if label else None
        places = [table.place(row, name) for name in steps]
        found.append(_row(values, shown, f"{table.path}:{row.line}", places))
    return found


def _row(values: list[Any], label: str | None, place: str, places: list[str]) -> Series:
    """Returns the series of a row: empty cells at its end are steps that it does not have."""
    while values and _is_missing(values[-1]):
        values = values[:-1]
    numbers = [math.nan if _is_missing(cell) else number(cell, places[i]) for i, cell in enumerate(values)]
    return Series(_stacked([numbers], place), label, place)


def _long(table: Records, id_name: str, time: str | None, label: str | None) -> list[Series]:
    """Returns the series of a table with a row per step, in the order of their first rows."""
    time = table.need(time, "data.time") if time is not None else named(table.names, TIME_NAMES)
    channels = [name for name in table.names if name not in (id_name, time, label)]
    groups: dict[str, list[Record]] = {}
    for row in table.rows:
        groups.setdefault(table.text(row, id_name, "an id"), []).append(row)
    found = []
    for name, rows in groups.items():
        place = f"{table.path}:{rows[0].line}"
        if time is not None:
            rows = _ordered(table, rows, time)
        labels = {_label(row.cells.get(label)) if label else None for row in rows}
        if len(labels) > 1:
            raise UserError(f"{place}: expected one label for the series {name!r}, got {_shown(labels)}")
        values = [
            [math.nan if _is_missing(row.cells.get(c)) else number(row.cells[c], table.place(row, c)) for row in rows]
            for c in channels
        ]
        found.append(Series(_stacked(values, place), labels.pop(), place))
    return found


def _ordered(table: Records, rows: list[Record], time: str) -> list[Record]:
    """Returns the rows of a series by time: numbers by size, all else (dates) by the alphabet."""
    cells = [str(row.cells.get(time, "")).strip() for row in rows]
    key: list[Any] = [float(cell) for cell in cells] if all(map(is_number, cells)) else list(cells)
    order = sorted(range(len(rows)), key=key.__getitem__)
    twice = next((b for a, b in pairwise(order) if key[a] == key[b]), None)
    if twice is not None:
        raise UserError(f"{table.place(rows[twice], time)}: {cells[twice]!r} is there twice in one series")
    return [rows[i] for i in order]


def _label(cell: object) -> str | None:
    if cell is None or isinstance(cell, list | dict):
        return None
    return str(cell).strip() or None


def _shown(labels: set[str | None]) -> str:
    return " and ".join(sorted(repr(label or "") for label in labels)[:2])


# -- JSON --------------------------------------------------------------------------------------------------------------


def _from_json(table: Records, columns: Columns) -> list[Series]:
    """Reads objects with a list of numbers, or of lists (a step each), or an object of channels; and a label."""
    name = named(table.names, VALUE_NAMES)
    if name is None:
        name = next((n for n in table.names if isinstance(table.rows[0].cells.get(n), list | dict)), None)
    if name is None:
        hint = '{"series": [1, 2, 3], "label": "a"}, or [[1, 5], [2, 6]] for steps of two channels'
        raise UserError(f"{table.path}: there is no list of numbers", hint)
    label = columns.label if columns.label in table.names else named(table.names, LABEL_NAMES)
    found = []
    for row in table.rows:
        place = table.place(row, name)
        values = row.cells.get(name)
        if isinstance(values, dict):
            channels = [_numbers(_as_list(v, f"{place}, {c!r}"), f"{place}, {c!r}") for c, v in values.items()]
        elif isinstance(values, list) and values and isinstance(values[0], list):
            steps = [_numbers(_as_list(v, f"{place}, step {i}"), f"{place}, step {i}") for i, v in enumerate(values, 1)]
            if len({len(step) for step in steps}) > 1:
                raise UserError(f"{place}: expected as many channels at each step, got different numbers")
            channels = [list(channel) for channel in zip(*steps, strict=True)]
        else:
            channels = [_numbers(_as_list(values, place), place)]
        shown = _label(row.cells.get(label)) if label else None
        found.append(Series(_stacked(channels, place), shown, f"{table.path}:{row.line}"))
    return found


def _as_list(value: object, place: str) -> list[Any]:
    if isinstance(value, list):
        return value
    raise UserError(f"{place}: expected a list of numbers, got {describe(value)}")


def target(label: str, place: str) -> float:
    """Returns a label as a number. Raises `UserError` for anything else."""
    if not re.fullmatch(r"\s*\S+\s*", label) or not is_number(label):
        raise not_a_number(label, f"{place}: label")
    return float(label)


def guess_target(labels: Sequence[str]) -> Literal["class", "number"]:
    """Returns whether labels are classes or numbers."""
    if not all(map(is_number, labels)):
        return "class"
    numbers = {float(label) for label in labels}
    return "class" if len(numbers) <= MOST_CLASSES and all(n.is_integer() for n in numbers) else "number"
