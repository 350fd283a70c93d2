"""Minimal sudokus: each has one solution, and without any of its givens it has several."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rk.files import cache_folder
from rk.writing import write_atomic
from rk_rrn.solver import Grid, digits_of, masks_of, propagate, solve

VERSION = 1
"""Changes with what is generated from a seed, so that older files are left alone."""


class Puzzles(NamedTuple):
    """Sudokus and their solutions, of (puzzles, cells) each, as uint8; 0 where a cell is empty."""

    givens: np.ndarray
    solutions: np.ndarray


def random_grids(count: int, grid: Grid, random: np.random.Generator) -> np.ndarray:
    """Returns random full grids: (count, cells)."""
    empty = masks_of(np.zeros((count, grid.cells)), grid)
    # a first row in random order: the search has less to choose, and digits are exchangeable
    empty[:, : grid.n] = 1 << random.permuted(np.tile(np.arange(grid.n), (count, 1)), axis=1)
    return digits_of(np.stack([boards[0] for boards in solve(empty, grid, random=random)]))


def minimal_puzzles(solutions: np.ndarray, grid: Grid, random: np.random.Generator) -> np.ndarray:
    """Returns minimal puzzles of these solutions, by removing givens one by one in random order.

    A given may go if no solution has another digit in its cell. All puzzles are asked side by side, about one given
    each.
    """
    truth = masks_of(solutions, grid)
    givens = solutions.copy()
    order = random.permuted(np.tile(np.arange(grid.cells), (len(solutions), 1)), axis=1)
    rows = np.arange(len(solutions))
    for cell in order.T:
        trial = givens.copy()
        trial[rows, cell] = 0
        masks = masks_of(trial, grid)
        masks[rows, cell] &= ~truth[rows, cell]
        masks, fine = propagate(masks, grid)
        other = np.zeros(len(rows), dtype=bool)
        other[fine] = [bool(boards) for boards in solve(masks[fine], grid)]
        givens = np.where(other[:, None], givens, trial)
    return givens


def generate(count: int, grid: Grid, seed: int) -> Puzzles:
    """Returns `count` minimal puzzles: a function of these arguments, kept in the cache folder (`RK_CACHE`)."""

    def make() -> Puzzles:
        random = np.random.default_rng([VERSION, *grid, seed])
        solutions = random_grids(count, grid, random)
        return Puzzles(minimal_puzzles(solutions, grid, random), solutions)

    return kept(f"{VERSION}-{grid.box_rows}x{grid.box_cols}-{count}-{seed}", make)


def solved(givens: np.ndarray, grid: Grid) -> Puzzles:
    """Returns published puzzles with their solutions, which are kept in the cache folder."""

    def make() -> Puzzles:
        found = solve(masks_of(givens, grid), grid, limit=2)
        assert all(len(boards) == 1 for boards in found)
        return Puzzles(givens, digits_of(np.stack([boards[0] for boards in found])))

    digest = hashlib.sha256(givens.tobytes()).hexdigest()[:16]
    return kept(f"{VERSION}-solved-{digest}", make)


def kept(name: str, make: Callable[[], Puzzles]) -> Puzzles:
    """Returns what `make` does, from a file of the cache folder where it is there and whole.

    Raises:
        RunFailed: When the folder cannot be written.
    """
    path = cache_folder() / "sudoku" / f"{name}.npz"
    try:
        with np.load(path) as file:
            return Puzzles(file["givens"], file["solutions"])
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, EOFError):
        pass  # it is not there, or is damaged (a zip archive has checksums): it is made again
    puzzles = make()
    content = io.BytesIO()
    np.savez_compressed(content, **puzzles._asdict())
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content.getvalue())
    return puzzles


def canonical(solutions: np.ndarray, grid: Grid) -> np.ndarray:
    """Returns the solutions with their digits renamed so that the first row is 1 to n: equal ones are renamings."""
    names = np.zeros((len(solutions), grid.n + 1), dtype=np.uint8)
    np.put_along_axis(names, solutions[:, : grid.n].astype(np.int64), np.arange(1, grid.n + 1, dtype=np.uint8)[None], 1)
    return np.take_along_axis(names, solutions.astype(np.int64), 1)
