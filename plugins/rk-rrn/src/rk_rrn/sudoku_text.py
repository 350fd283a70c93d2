"""Sudokus from a user's text, and answers to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from rk import UserError
from rk.reading import lines_of, read_text
from rk_rrn.solver import Grid, digits_of, masks_of, solve, units

UNITS = ("row", "column", "box")


def accepted(grid: Grid) -> str:
    """Returns which text is read."""
    return (
        f"a sudoku a line, of {grid.cells} characters, or {grid.n} lines of {grid.n}; a dot or 0 where a cell is empty"
    )


def read_sudokus(path: Path, grid: Grid) -> np.ndarray:
    """Returns the givens of a text's sudokus, (sudokus, cells) of uint8, 0 where a cell is empty.

    Spaces and lines between boxes (``|``, ``-``, ``+``) are left out, and what follows a comma is not read.

    Raises:
        rk.UserError: With file and line, for other text, and for a sudoku whose givens contradict each other.
    """
    found: list[list[int]] = []
    places, first = [], 0
    rows: list[int] = []
    for number, line in enumerate(lines_of(read_text(path, accepted(grid))), 1):
        cells = "".join(character for character in line.partition(",")[0] if character not in " \t|")
        if not cells.strip("-+="):
            continue
        digits = [_digit(character, grid, f"{path}:{number}") for character in cells]
        if len(digits) == grid.cells and not rows:
            found.append(digits)
            places.append(f"{path}:{number}")
            continue
        if len(digits) != grid.n:
            raise UserError(
                f"{path}:{number}: expected {grid.n if rows else f'{grid.cells} or {grid.n}'} cells, "
                f"got {len(digits)}: this model solves {grid.n}x{grid.n} sudokus",
                accepted(grid),
            )
        first = first if rows else number
        rows += digits
        if len(rows) == grid.cells:
            found.append(rows)
            places.append(f"{path}:{first}")
            rows = []
    if rows:
        raise UserError(f"{path}:{first}: expected {grid.n} rows, got {len(rows) // grid.n}", accepted(grid))
    if not found:
        raise UserError(f"{path}: expected a sudoku, got nothing to read", accepted(grid))
    givens = np.array(found, dtype=np.uint8)
    for digits, place in zip(givens, places, strict=True):
        check_givens(digits, grid, place)
    for boards, place in zip(solve(masks_of(givens, grid), grid), places, strict=True):
        if not boards:
            raise UserError(f"{place}: this sudoku has no solution", "check its givens")
    return givens


def _digit(character: str, grid: Grid, place: str) -> int:
    if character in ".0":
        return 0
    if not character.isascii() or not character.isdigit() or int(character) > grid.n:
        raise UserError(f"{place}: expected a digit from 1 to {grid.n} or a dot, got {character!r}", accepted(grid))
    return int(character)


def check_givens(givens: np.ndarray, grid: Grid, place: str) -> None:
    """Raises `rk.UserError` when a digit is given twice in a row, a column or a box."""
    for kind, groups in zip(UNITS, units(grid), strict=True):
        for number, cells in enumerate(groups, 1):
            digits = givens[cells]
            for digit in range(1, grid.n + 1):
                if (digits == digit).sum() > 1:
                    raise UserError(f"{place}: {kind} {number} has the digit {digit} more than once")


def answered(givens: np.ndarray, logits: Float[Tensor, "sudokus cells classes"], grid: Grid) -> list[dict[str, Any]]:
    """Returns what a network answers to sudokus: it fills the empty cells, and givens stay.

    Args:
        givens: (sudokus, cells), 0 where a cell is empty.
        logits: (sudokus, cells, n + 1).
        grid: The kind of sudoku.

    Returns:
        For each: the puzzle and the answer, row by row; whether each row, column and box has each digit once; the
        solution, if it is the only one; and the lowest probability of a digit that was filled in.
    """
    chosen = logits[..., 1:].softmax(-1).max(-1)
    filled = np.where(givens > 0, givens, chosen.indices.numpy() + 1).astype(np.uint8)
    found = solve(masks_of(givens, grid), grid, limit=2)
    rows = []
    for quiz, digits, boards, sure in zip(givens, filled, found, chosen.values.numpy(), strict=True):
        solution = digits_of(boards[0]) if len(boards) == 1 else None
        rows.append(
            {
                "puzzle": _lines(quiz, grid),
                "answer": _lines(digits, grid),
                "valid": is_valid(digits, grid),
                "solution": None if solution is None else _lines(solution, grid),
                "wrong_cells": None if solution is None else int((solution != digits).sum()),
                "confidence": round(float(sure[quiz == 0].min()), 4) if (quiz == 0).any() else 1.0,
            }
        )
    return rows


def is_valid(digits: np.ndarray, grid: Grid) -> bool:
    """Whether each row, column and box has each digit once."""
    return bool((np.sort(digits[units(grid)], axis=-1) == np.arange(1, grid.n + 1)).all())


def _lines(digits: np.ndarray, grid: Grid) -> list[str]:
    return ["".join(str(digit) if digit else "." for digit in row) for row in digits.reshape(grid.n, grid.n).tolist()]
