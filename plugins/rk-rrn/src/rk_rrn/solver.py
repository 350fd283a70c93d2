"""An exact solver of many sudokus side by side, on sets of candidates as bits of integers."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

Masks = np.ndarray
"""(boards, cells) of uint16: bit d - 1 is set where digit d may be."""
AT_ONCE = 2048
"""Boards that are worked on side by side: fewer than there are would search breadth first, and fill memory."""

SET_BITS = np.array([number.bit_count() for number in range(2**9)])
"""How many bits of each number are set: digits go to 9."""


class Grid(NamedTuple):
    """A kind of sudoku: digits 1 to n = box_rows x box_cols in each row, column and box."""

    box_rows: int
    box_cols: int

    @property
    def n(self) -> int:
        """Digits, and cells of a row."""
        return self.box_rows * self.box_cols

    @property
    def cells(self) -> int:
        """All cells."""
        return self.n**2


@lru_cache
def units(grid: Grid) -> np.ndarray:
    """Returns the cells of each row, column and box: (3, n, n)."""
    numbers = np.arange(grid.cells).reshape(grid.n, grid.n)
    boxes = numbers.reshape(grid.box_cols, grid.box_rows, grid.box_rows, grid.box_cols).swapaxes(1, 2)
    return np.stack([numbers, numbers.T, boxes.reshape(grid.n, grid.n)])


@lru_cache
def units_of(grid: Grid) -> np.ndarray:
    """Returns the row, the column and the box of each cell: (3, cells)."""
    found = np.zeros((3, grid.cells), dtype=np.int64)
    for kind, groups in enumerate(units(grid)):
        for number, cells in enumerate(groups):
            found[kind, cells] = number
    return found


@lru_cache
def neighbours(grid: Grid) -> list[list[int]]:
    """Returns the other cells in the row, the column and the box of each cell, in order."""
    found = []
    for cell in range(grid.cells):
        groups = {int(other) for kind in range(3) for other in units(grid)[kind, units_of(grid)[kind, cell]]}
        found.append(sorted(groups - {cell}))
    return found


def masks_of(digits: np.ndarray, grid: Grid) -> Masks:
    """Returns the candidates of boards of digits, 0 where the cell is empty: (boards, cells)."""
    every = (1 << grid.n) - 1
    return np.where(digits > 0, 1 << np.maximum(digits.astype(np.int64) - 1, 0), every).astype(np.uint16)


def digits_of(masks: Masks) -> np.ndarray:
    """Returns the digits of boards with one candidate in each cell, as uint8."""
    return (np.log2(masks) + 1).round().astype(np.uint8)


def propagate(masks: Masks, grid: Grid) -> tuple[Masks, np.ndarray]:
    """Follows singles until nothing changes: a digit that is set leaves its units; one with one place is set there.

    Returns:
        The candidates, and which boards have no contradiction so far, (boards,).
    """
    masks = masks.copy()
    fine = np.ones(len(masks), dtype=bool)
    active = np.arange(len(masks))
    every = np.uint16((1 << grid.n) - 1)
    cells, row_of = units(grid), units_of(grid)
    while len(active):
        now = masks[active]
        before = now
        single = (now & (now - 1)) == 0
        # digits that are set in each unit, and whether one is set twice
        values = np.where(single, now, np.uint16(0))[:, cells]  # (boards, 3, n, n)
        taken = np.bitwise_or.reduce(values, axis=-1)
        wrong = (values.astype(np.int32).sum(-1) != taken).any((1, 2))
        gone = taken[:, 0, row_of[0]] | taken[:, 1, row_of[1]] | taken[:, 2, row_of[2]]
        now = np.where(single, now, now & ~gone)
        wrong |= (now == 0).any(1)
        # digits with one place in a unit
        once = np.zeros_like(taken)
        twice = np.zeros_like(taken)
        for place in range(grid.n):
            here = now[:, cells[:, :, place]]
            twice |= once & here
            once |= here
        wrong |= (once != every).any((1, 2))
        alone = once & ~twice
        only = now & (alone[:, 0, row_of[0]] | alone[:, 1, row_of[1]] | alone[:, 2, row_of[2]])
        wrong |= ((only & (only - 1)) != 0).any(1)
        now = np.where(only != 0, only, now)
        masks[active] = now
        fine[active] = ~wrong
        active = active[~wrong & (now != before).any(1)]
    return masks, fine


def solve(masks: Masks, grid: Grid, limit: int = 1, random: np.random.Generator | None = None) -> list[list[Masks]]:
    """Returns up to `limit` solutions of each board, as candidates of (cells,).

    Singles are followed; where none is left, the cell with the fewest candidates gets one of them, or loses it.

    Args:
        masks: (boards, cells).
        grid: The kind of sudoku.
        limit: The search for a board ends with so many; 2 shows whether a solution is the only one.
        random: Tries candidates in random order, for random grids; None: the lowest first.
    """
    found: list[list[Masks]] = [[] for _ in masks]
    open_boards, owners = masks, np.arange(len(masks))
    counts = np.zeros(len(masks), dtype=np.int64)
    while len(open_boards):
        chosen_now = np.zeros(len(owners), dtype=bool)
        if random is None:
            chosen_now[-AT_ONCE:] = True
        else:  # depth first: of the solutions of a board, those that need fewer guesses would else be found more often
            chosen_now[len(owners) - 1 - np.unique(owners[::-1], return_index=True)[1]] = True
        now, now_of = open_boards[chosen_now], owners[chosen_now]
        open_boards, owners = open_boards[~chosen_now], owners[~chosen_now]
        now, fine = propagate(now, grid)
        now, now_of = now[fine], now_of[fine]
        solved = ((now & (now - 1)) == 0).all(1)
        for board, owner in zip(now[solved], now_of[solved], strict=True):
            if counts[owner] < limit:
                found[owner].append(board)
                counts[owner] += 1
        now, now_of = now[~solved], now_of[~solved]
        sizes = SET_BITS[now]
        cell = np.where(sizes > 1, sizes, 99).argmin(1)
        rows = np.arange(len(now))
        choices = now[rows, cell]
        chosen = choices & -choices if random is None else _any_bit(choices, random)
        with_it, without = now.copy(), now.copy()
        with_it[rows, cell] = chosen
        without[rows, cell] = choices & ~chosen
        open_boards = np.concatenate([open_boards, without, with_it])
        owners = np.concatenate([owners, now_of, now_of])
        wanted = counts[owners] < limit
        open_boards, owners = open_boards[wanted], owners[wanted]
    return found


def _any_bit(bits: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns one bit of each number, each with the same probability."""
    keys = random.random((len(bits), 16))
    keys[(bits[:, None] >> np.arange(16)) & 1 == 0] = -1.0
    return (1 << keys.argmax(1)).astype(np.uint16)
