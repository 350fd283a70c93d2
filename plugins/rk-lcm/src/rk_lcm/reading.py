"""Users' own sets and graphs of integers, from tables and JSON lines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rk import UserError
from rk.reading import as_number, describe, read_json_lines, read_rows

SETS = 'sets are JSON lines, {"values": [3, 17, 4]}, or rows of integers in a .csv or .tsv file'
GRAPHS = 'graphs are JSON lines: {"values": [3, 17, 4], "edges": [[0, 1], [1, 2]]}'


@dataclass(frozen=True)
class GraphExample:
    """One graph.

    Attributes:
        values: The integer of each node.
        edges: Pairs of nodes, numbered from 0.
    """

    values: list[int]
    edges: list[tuple[int, int]]


def read_sets(path: Path, largest: int) -> list[list[int]]:
    """Reads one set of integers per line or row.

    Args:
        path: A table (``.csv``, ``.tsv``), whose rows may differ in length, or JSON lines.
        largest: The largest integer; the smallest is 0.

    Raises:
        UserError: When the file cannot be read, a set is empty, or an entry is not such an integer.
    """
    sets: list[list[int]] = []
    if path.name.removesuffix(".gz").endswith((".csv", ".tsv")):
        for line, cells in read_rows(path, SETS):
            entries = [cell for cell in cells if cell.strip()]
            sets.append([_integer(cell, largest, f"{path}:{line}") for cell in entries])
    else:
        for line, value in read_json_lines(path, SETS):
            _object(value, {"values"}, f"{path}:{line}", SETS)
            sets.append(_integers(value["values"], largest, f"{path}:{line}: values"))
    return _some(sets, path, SETS)


def read_graphs(path: Path, largest: int) -> list[GraphExample]:
    """Reads one graph of integers per line.

    Args:
        path: JSON lines with ``values`` and ``edges``.
        largest: The largest integer; the smallest is 0.

    Raises:
        UserError: When the file cannot be read, a graph has no node, or an entry is not what it must be.
    """
    graphs: list[GraphExample] = []
    for line, value in read_json_lines(path, GRAPHS):
        place = f"{path}:{line}"
        _object(value, {"values", "edges"}, place, GRAPHS)
        values = _integers(value["values"], largest, f"{place}: values")
        if not isinstance(value["edges"], list):
            raise UserError(f"{place}: edges must be a list of pairs, got {describe(value['edges'])}", GRAPHS)
        edges: list[tuple[int, int]] = []
        for edge in value["edges"]:
            ends = _integers(edge, len(values) - 1, f"{place}: edges")
            if len(ends) != 2 or ends[0] == ends[1]:
                raise UserError(f"{place}: an edge must be two different nodes, got {ends}", GRAPHS)
            edges.append((ends[0], ends[1]))
        graphs.append(GraphExample(values, edges))
    return _some(graphs, path, GRAPHS)


def _some(examples: list[Any], path: Path, hint: str) -> list[Any]:
    if not examples:
        raise UserError(f"{path} is empty", hint)
    return examples


def _object(value: object, keys: set[str], place: str, hint: str) -> None:
    if not isinstance(value, dict) or not keys <= set(value):
        got = f"the keys {', '.join(value) or 'none'}" if isinstance(value, dict) else describe(value)
        raise UserError(f"{place}: must be an object with {' and '.join(sorted(keys, reverse=True))}, got {got}", hint)


def _integers(value: object, largest: int, place: str) -> list[int]:
    if not isinstance(value, list) or not value:
        got = "an empty list" if value == [] else describe(value)
        raise UserError(f"{place}: must be a list of integers, got {got}", f"integers from 0 to {largest}")
    return [_integer(entry, largest, place) for entry in value]


def _integer(entry: object, largest: int, place: str) -> int:
    number = as_number(entry)
    if math.isnan(number) or number != int(number) or not 0 <= number <= largest:
        raise UserError(
            f"{place}: must be an integer from 0 to {largest}, got {describe(entry)}",
            "value_bits of the data bounds it",
        )
    return int(number)
