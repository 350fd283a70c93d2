"""A user's own samples of a function: tables and .npz files."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rk import UserError
from rk.errors import printable
from rk.reading import named_rows, number, read_text

TABLE = "a table with columns x1, x2, ..., y1, y2, ...: a row per sequence (x1_2: number 2 of step 1)"
ARRAYS = "an .npz file with inputs and targets of (samples, steps) or (samples, steps, numbers)"
COLUMN = re.compile(r"([xy])([1-9]\d*)(?:_([1-9]\d*))?")

Sequences = Float[Tensor, "samples time numbers"]


def read_labelled(path: Path) -> tuple[Sequences, Sequences]:
    """Reads inputs and targets, float64.

    Args:
        path: A table (CSV or TSV), or an .npz file.

    Raises:
        rk.UserError: As `read_sequences` does, and when there are no targets.
    """
    inputs, targets = read_sequences(path)
    if targets is None:
        raise UserError(f"{printable(str(path))}: there are no targets", f"expected {TABLE}; or {ARRAYS}")
    return inputs, targets


def read_sequences(path: Path) -> tuple[Sequences, Sequences | None]:
    """Reads inputs and, where the file has them, targets, float64.

    Args:
        path: A table (CSV or TSV), or an .npz file.

    Raises:
        rk.UserError: When the file is neither, or inputs and targets differ in samples or steps.
    """
    inputs, targets = _arrays(path) if path.suffix.lower() == ".npz" else _table(path)
    if targets is not None and targets.shape[:2] != inputs.shape[:2]:
        raise UserError(
            f"{printable(str(path))}: targets must have as many samples and steps as inputs, "
            f"got {tuple(targets.shape[:2])} and {tuple(inputs.shape[:2])}"
        )
    return inputs, targets


def _table(path: Path) -> tuple[Sequences, Sequences | None]:
    found = named_rows(read_text(path, TABLE), path, TABLE)
    shown = printable(str(path))
    if found.names is None:
        raise UserError(f"{shown}: the first line must name the columns", f"expected {TABLE}")
    places: dict[str, dict[tuple[int, int], int]] = {"x": {}, "y": {}}
    for column, name in enumerate(found.names):
        match = COLUMN.fullmatch(name)
        if match is None:
            raise UserError(
                f"{shown}: column {printable(name)!r} is neither an input nor a target", f"expected {TABLE}"
            )
        key = (int(match[2]), int(match[3] or 1))
        if key in places[match[1]]:
            raise UserError(f"{shown}: column {name!r} names an entry that another column has", f"expected {TABLE}")
        places[match[1]][key] = column
    cells = [[number(cell, found.place(line, c)) for c, cell in enumerate(row)] for line, row in found.rows]
    values = torch.tensor(cells, dtype=torch.float64)
    inputs = _gathered(values, places["x"], "x", shown)
    if inputs is None:
        raise UserError(f"{shown}: there are no inputs", f"expected {TABLE}")
    return inputs, _gathered(values, places["y"], "y", shown)


def _gathered(
    values: Float[Tensor, "samples columns"], places: dict[tuple[int, int], int], letter: str, shown: str
) -> Sequences | None:
    """Returns the columns of one kind as (samples, steps, numbers); None where there are none."""
    if not places:
        return None
    steps, numbers = (max(key[i] for key in places) for i in (0, 1))
    wanted = [(step, k) for step in range(1, steps + 1) for k in range(1, numbers + 1)]
    if missing := [key for key in wanted if key not in places]:
        step, k = missing[0]
        name = f"{letter}{step}" if numbers == 1 else f"{letter}{step}_{k}"
        raise UserError(f"{shown}: there is no column {name!r}", "every step has the same numbers")
    return values[:, [places[key] for key in wanted]].view(-1, steps, numbers)


def _arrays(path: Path) -> tuple[Sequences, Sequences | None]:
    shown = printable(str(path))
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("inputs", "targets") if name in file}
    except OSError as error:
        raise UserError(
            f"{shown} cannot be read: {error.strerror or 'it is not an .npz file'}", f"expected {ARRAYS}"
        ) from None
    except (ValueError, zipfile.BadZipFile, AttributeError, TypeError, EOFError):
        raise UserError(f"{shown} is not an .npz file of plain arrays", f"expected {ARRAYS}") from None
    if "inputs" not in arrays:
        raise UserError(f"{shown}: there is no array 'inputs'", f"expected {ARRAYS}")
    found = {name: _sequences(array, name, shown) for name, array in arrays.items()}
    return found["inputs"], found.get("targets")


def _sequences(array: np.ndarray, name: str, shown: str) -> Sequences:
    if array.ndim not in (2, 3) or array.dtype.kind not in "fiu" or not array.size:
        raise UserError(f"{shown}: {name} must be numbers with 2 or 3 axes, got {array.dtype} {array.shape}", ARRAYS)
    values = torch.from_numpy(array.astype(np.float64))
    if not bool(values.isfinite().all()):
        raise UserError(f"{shown}: {name} must be finite, got {float(values[~values.isfinite()][0])}")
    return values.view(*array.shape, 1) if array.ndim == 2 else values
