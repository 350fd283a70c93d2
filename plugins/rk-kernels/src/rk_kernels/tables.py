"""Tables of numbers out of CSV files, with a line of names or without."""

from __future__ import annotations

import csv
import gzip
import io
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from rk import UserError

ACCEPTED = "a CSV file of numbers: one row each, separated by commas, with a first line of names or without"


@dataclass(frozen=True)
class Table:
    """Numbers, with the names of their columns where the file has them."""

    values: Float[Tensor, "rows columns"]
    names: tuple[str, ...] | None = None


def read_table(path: Path) -> Table:
    """Reads a CSV file, or one inside a gzip file.

    Raises:
        rk.UserError: When it cannot be read, is empty, has ragged rows, or holds anything but finite numbers.
    """
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        text = content.decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise UserError(f"{path}: {reason}", ACCEPTED) from None
    lines = [(i, row) for i, row in enumerate(csv.reader(io.StringIO(text)), 1) if any(map(str.strip, row))]
    if not lines:
        raise UserError(f"{path}: the file is empty", ACCEPTED)
    names = None
    if not any(_is_number(cell) for cell in lines[0][1]):
        names = tuple(cell.strip() for cell in lines.pop(0)[1])
        if len(set(names)) < len(names):
            raise UserError(f"{path}: two columns have the same name", ACCEPTED)
        if not lines:
            raise UserError(f"{path}: there are names but no rows", ACCEPTED)
    width = len(names or lines[0][1])
    rows = [_numbers(path, i, row, width) for i, row in lines]
    return Table(torch.tensor(rows, dtype=torch.float64), names)


def _numbers(path: Path, line: int, row: list[str], width: int) -> list[float]:
    if len(row) != width:
        raise UserError(f"{path}: line {line} has {len(row)} columns, not {width}", ACCEPTED)
    for cell in row:
        if not _is_number(cell) or not math.isfinite(float(cell)):
            raise UserError(f"{path}: line {line}: {cell.strip() or 'an empty cell'!r} is no finite number", ACCEPTED)
    return [float(cell) for cell in row]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
