"""The levels of a quantised weight, found from the weight itself, however it was quantised."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rk_quantization.grids import Grid, LevelGrid, UniformGrid
from rk_quantization.scheme import Granularity, Layout

ULPS = 2
"""A scale s with fl(k s) = m differs from fl(m / k) by this many steps of the number format, or fewer."""
SCREENED = 64
"""Columns that a scale is tried on first: most weights in full precision are refused after these."""
SMALLEST_GROUP = 4
"""A scale for each of fewer weights saves nothing, and any two numbers have common levels."""
FIRST_ROWS = 4
"""Rows that are tried before all others."""


@dataclass(frozen=True)
class Found:
    """A weight as codes.

    Attributes:
        layout: What a row is.
        bits: Bits of a code.
        codes: (rows, columns), from 0: of uniform levels ``code + low``.
        grid: The levels; ``grid.decode`` gives the weight back, bit by bit.
    """

    layout: Layout
    bits: int
    codes: Tensor
    grid: Grid

    def weight(self) -> Tensor:
        """Returns the weight."""
        low = self.grid.low if isinstance(self.grid, UniformGrid) else 0
        return self.layout.weight(self.grid.decode(self.codes + low))


def recover(weight: Tensor, axis: int = 0, *, uniform: bool = False) -> Found | None:
    """Finds levels of at most 8 bits that every number of the weight has exactly; of several, the smallest.

    Args:
        weight: float32, of two or more dimensions.
        axis: Of the output channels.
        uniform: Whether levels must have the same distance.

    Returns:
        The codes; None where the weight is not on so few levels.
    """
    if weight.dtype != torch.float32:
        return None
    best: tuple[int, Found] | None = None
    for layout in _layouts(weight, axis):
        if layout.granularity == "group" and best is not None and isinstance(best[1].grid, UniformGrid):
            break  # larger groups have fewer scales; a codebook of whole channels may be that of groups
        rows = layout.rows(weight)
        if rows.shape[1] < SMALLEST_GROUP and rows.shape[0] > 1:
            continue
        for grid in (_uniform(rows), None if uniform or layout.granularity == "group" else _levels(rows)):
            if isinstance(grid, UniformGrid):
                found = Found(layout, _bits(grid.high - grid.low + 1), grid.encode(rows) - grid.low, grid)
                stored = 4 * len(rows) * (1 + bool(grid.zero.any()))
            elif grid is not None:
                found = Found(layout, _bits(grid.levels.shape[1]), grid.encode(rows), grid)
                stored = 4 * grid.levels.numel()
            else:
                continue
            size = weight.numel() * found.bits // 8 + stored
            if best is None or size < best[0]:
                best = size, found
    return None if best is None else best[1]


def _layouts(weight: Tensor, axis: int) -> list[Layout]:
    """Returns what may share a scale: the tensor, channels, and groups of all sizes that divide a channel."""
    shape = tuple(weight.shape)
    kinds: list[tuple[Granularity, int]] = [("tensor", 1), ("channel", 1)]
    inner = weight.numel() // max(1, shape[axis])
    kinds += [("group", size) for size in range(inner // 2, SMALLEST_GROUP - 1, -1) if inner % size == 0]
    return [Layout(shape, axis, kind, size) for kind, size in kinds]


def _bits(levels: int) -> int:
    return max(1, (levels - 1).bit_length())


def _uniform(rows: Tensor) -> UniformGrid | None:
    """Returns uniform levels that contain all numbers of the rows exactly; the same number of bits for all."""
    if not _may_be_uniform(rows[:FIRST_ROWS]):
        return None
    largest = rows.abs().amax(1, keepdim=True)
    whole = torch.where(largest > 0, largest, torch.ones_like(largest))
    scale = torch.where(largest > 0, torch.zeros_like(largest), torch.ones_like(largest))
    for k in range(1, 256):
        open_rows = (scale == 0)[:, 0]
        if not open_rows.any():
            break
        for candidate in _neighbours(whole[open_rows] / k):
            fits = _fits(rows[open_rows, :SCREENED], candidate)
            if fits.any():
                fits = fits & _fits(rows[open_rows], candidate)
                found = scale[open_rows]
                scale[open_rows] = torch.where(fits[:, None] & (found == 0), candidate, found)
    if bool((scale == 0).any()):
        return None
    codes = torch.round(rows / scale).to(torch.int32)
    least, most = codes.amin(1, keepdim=True), codes.amax(1, keepdim=True)
    half = 2 ** (_bits(2 * max(1, int(most.max()) + 1, -int(least.min()))) - 1)
    if half <= 128:
        low, high, zero = -half, half - 1, torch.zeros_like(scale, dtype=torch.int32)
        if int(least.min()) >= 0 or int((most - least).max()) < half:
            return _shifted(rows, scale, least, most)
        grid = UniformGrid(scale, zero, low, high)
    else:
        return _shifted(rows, scale, least, most)
    return grid if torch.equal(grid.snap(rows), rows) else None


def _may_be_uniform(rows: Tensor) -> bool:
    """Returns whether each of a few rows has a scale that its first columns fit: all scales are tried at once."""
    largest = rows.abs().amax(1, keepdim=True)
    whole = torch.where(largest > 0, largest, torch.ones_like(largest))
    scales = torch.cat(_neighbours(whole / torch.arange(1, 256, dtype=rows.dtype)[:, None, None]))
    return bool(_fits(rows[:, :SCREENED], scales).any(0).all())


def _shifted(rows: Tensor, scale: Tensor, least: Tensor, most: Tensor) -> UniformGrid | None:
    """Returns the same levels with a zero point, where they need fewer bits so."""
    least, most = least.clamp(max=0), most.clamp(min=0)
    span = int((most - least).max())
    if span > 255:
        return None
    grid = UniformGrid(scale, -least, 0, 2 ** _bits(span + 1) - 1)
    return grid if torch.equal(grid.snap(rows), rows) else None


def _neighbours(value: Tensor) -> list[Tensor]:
    up, down = [value], [value]
    for _ in range(ULPS):
        up.append(torch.nextafter(up[-1], torch.full_like(value, torch.inf)))
        down.append(torch.nextafter(down[-1], torch.zeros_like(value)))
    return [*up, *down[1:]]


def _fits(rows: Tensor, scale: Tensor) -> Tensor:
    """Returns which rows are whole multiples of their scale, bit by bit."""
    codes = torch.round(rows / scale)
    return ((codes * scale == rows) & (codes.abs() <= 255)).all(-1)


def _levels(rows: Tensor) -> LevelGrid | None:
    """Returns the distinct values of each row, where there are at most 256, and fewer than a quarter of the entries."""
    most = min(256, max(2, rows.shape[1] // 4))
    if len(rows[0].unique()) > most:
        return None
    ordered = rows.sort(1).values
    number = torch.nn.functional.pad((ordered[:, 1:] != ordered[:, :-1]).long(), (1, 0)).cumsum(1)
    count = int(number.max()) + 1
    if count > most:
        return None
    levels = ordered[:, -1:].expand(-1, count).clone().scatter(1, number, ordered)
    return LevelGrid(levels, levels[:, 1:].contiguous(), torch.full_like(levels[:, :1], torch.inf))
