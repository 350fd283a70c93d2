"""Series on a grid of dates: rows of a table, put in order, with gaps where the table has none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from rk import UserError
from rk_tabular.series_frequency import Frequency, Named, detect_frequency, irregular, stated_frequency

Duplicates = Literal["error", "sum", "mean"]
Gaps = Literal["error", "interpolate", "previous", "zero"]
SEPARATOR = " / "
"""Between the values of several columns that name a series."""


@dataclass(frozen=True)
class Series:
    """One series: a value for each step of the grid from its first to its last.

    Attributes:
        name: What the columns of the file call it; empty where there is only one.
        start: Step of the first value.
        values: (steps,), float64; NaN where the file has no value.
        past: (steps, covariates), known only until now.
        known: (steps + further, covariates), known of the future too: rows of the file behind its last value.
    """

    name: str
    start: int
    values: np.ndarray
    past: np.ndarray
    known: np.ndarray

    @property
    def end(self) -> int:
        """The step after the last value."""
        return self.start + len(self.values)

    @property
    def gaps(self) -> np.ndarray:
        """The steps without a value."""
        return self.start + np.flatnonzero(np.isnan(self.values))


@dataclass(frozen=True)
class Rows:
    """The rows of a table, before they are put in order.

    Attributes:
        stamps: (rows,), datetime64[us].
        series: (rows,), the name of the series of each row.
        values: (rows, targets), float64, NaN for an empty cell.
        targets: Names of the columns of `values`. Each is a series of its own.
        past: (rows, covariates).
        known: (rows, covariates).
        place: Row, from 0 -> where it is in the file: ``rows.csv:12``.
    """

    stamps: np.ndarray
    series: np.ndarray
    values: np.ndarray
    targets: tuple[str, ...]
    past: np.ndarray
    known: np.ndarray
    place: Callable[[int], str]


def ordered(rows: Rows, duplicates: Duplicates, frequency: Frequency | Named | None) -> tuple[list[Series], Frequency]:
    """Returns the series of a table on the grid of their dates.

    Args:
        rows: In any order. A series is what one name and one target have.
        duplicates: Whether several rows of one date and series are an error, added, or averaged. Covariates are
            averaged.
        frequency: The grid, or its name; None: as the dates show.

    Raises:
        rk.UserError: When dates come twice, are not on the grid, or are not regular.
    """
    names, codes = np.unique(rows.series, return_inverse=True)
    order = np.lexsort((rows.stamps, codes))
    rows, codes = _taken(rows, order), codes[order]
    again = np.flatnonzero((np.diff(codes) == 0) & (np.diff(rows.stamps) == np.timedelta64(0))) + 1
    if len(again):
        if duplicates == "error":
            raise _twice(rows, again, names, codes)
        rows, codes = _merged(rows, codes, duplicates)
    dates = [rows.stamps[codes == code] for code in range(len(names))]

    def place(stamp: np.datetime64) -> str:
        return rows.place(int(np.flatnonzero(rows.stamps == stamp)[0]))

    if frequency is None:
        frequency = detect_frequency(dates, place)
    elif isinstance(frequency, str):
        frequency = stated_frequency(frequency, np.unique(rows.stamps))
    steps, on_grid = frequency.steps(rows.stamps)
    if not on_grid.all():
        off = int(np.flatnonzero(~on_grid)[0])
        raise UserError(
            f"{rows.place(off)}: {rows.stamps[off]} is not a date of steps that are {frequency.name}",
            irregular(dates, place).hint,
        )
    found = [s for code, name in enumerate(names) for s in _on_grid(rows, codes == code, steps, str(name))]
    if not found:
        raise UserError(f"{rows.place(0)}: there are no values in {', '.join(rows.targets)}")
    return found, frequency


def _on_grid(rows: Rows, chosen: np.ndarray, steps: np.ndarray, name: str) -> list[Series]:
    """Returns the series of the targets of one name; none for a target without any value."""
    at = steps[chosen]
    first, length = int(at[0]), int(at[-1] - at[0]) + 1

    def spread(values: np.ndarray) -> np.ndarray:
        whole = np.full((length, values.shape[1]), np.nan)
        whole[at - first] = values[chosen]
        return whole

    values, past, known = spread(rows.values), spread(rows.past), spread(rows.known)
    found = []
    for column, target in enumerate(rows.targets):
        there = np.flatnonzero(~np.isnan(values[:, column]))
        if len(there):
            begin, end = int(there[0]), int(there[-1]) + 1
            parts = ([name] if name else []) + ([target] if len(rows.targets) > 1 else [])
            found.append(
                Series(SEPARATOR.join(parts), first + begin, values[begin:end, column], past[begin:end], known[begin:])
            )
    return found


def _taken(rows: Rows, order: np.ndarray) -> Rows:
    place = rows.place
    return replace(
        rows,
        stamps=rows.stamps[order],
        series=rows.series[order],
        values=rows.values[order],
        past=rows.past[order],
        known=rows.known[order],
        place=lambda row: place(int(order[row])),
    )


def _merged(rows: Rows, codes: np.ndarray, how: Duplicates) -> tuple[Rows, np.ndarray]:
    """Returns one row for each date and series; cells without a value count for nothing."""
    new = np.r_[True, (np.diff(codes) != 0) | (np.diff(rows.stamps) != np.timedelta64(0))]
    starts = np.flatnonzero(new)

    def summed(values: np.ndarray, mean: bool) -> np.ndarray:
        there = ~np.isnan(values)
        total = np.add.reduceat(np.where(there, values, 0.0), starts, axis=0)
        count = np.add.reduceat(there.astype(np.float64), starts, axis=0)
        with np.errstate(invalid="ignore"):
            return np.where(count > 0, total / np.where(mean, np.maximum(count, 1), 1), np.nan)

    merged = replace(
        _taken(rows, starts),
        values=summed(rows.values, how == "mean"),
        past=summed(rows.past, True),
        known=summed(rows.known, True),
    )
    return merged, codes[starts]


def _twice(rows: Rows, again: np.ndarray, names: np.ndarray, codes: np.ndarray) -> UserError:
    row = int(again[0])
    first = next(i for i in range(row, -1, -1) if i == 0 or rows.stamps[i - 1] != rows.stamps[row])
    name = str(names[codes[row]])
    shown = f" of {name}" if name else ""
    more = f", and {len(again) - 1} more" if len(again) > 1 else ""
    return UserError(
        f"{rows.place(row)}: the date {np.datetime_as_string(rows.stamps[row], unit='auto')}{shown} comes twice, "
        f"first in line {rows.place(first).rpartition(':')[2]}{more}",
        "data.series=[COLUMN, ...] names what distinguishes series; data.duplicates=sum (or mean) merges rows",
    )


def check_gaps(series: Sequence[Series], gaps: Gaps, frequency: Frequency, source: str) -> str | None:
    """Returns a warning that counts what is filled; None where no value is missing.

    Args:
        series: With NaN where a value is missing.
        gaps: What is done.
        frequency: Of the steps.
        source: The file.

    Raises:
        rk.UserError: When values are missing and `gaps` is ``error``.
    """
    missing = {s.name: s.gaps for s in series if len(s.gaps)}
    if not missing:
        return None
    count = sum(map(len, missing.values()))
    name, where = next(iter(missing.items()))
    of = f" of {name}" if name else ""
    shown = ", ".join(frequency.written(int(step)) for step in where[:3])
    more = "" if count == len(where[:3]) else ", ..."
    total = f"{count} of {sum(len(s.values) for s in series)} values are missing: {shown}{of}{more}"
    if gaps == "error":
        raise UserError(f"{source}: {total}", "data.gaps=interpolate, previous or zero fills them")
    how = {"interpolate": "interpolated", "previous": "filled with the value before", "zero": "filled with 0"}[gaps]
    return f"{source}: {total}; they are {how}, and errors are not measured on them"


def filled(values: np.ndarray, gaps: Gaps) -> np.ndarray:
    """Returns values with their gaps filled; the first and the last are not gaps.

    Args:
        values: (steps,), NaN for a gap.
        gaps: What gaps are filled with.
    """
    there = np.flatnonzero(~np.isnan(values))
    if len(there) == len(values):
        return values
    if gaps == "interpolate":
        return np.interp(np.arange(len(values)), there, values[there])
    return np.where(np.isnan(values), 0.0 if gaps == "zero" else values[last_there(values)], values)


def last_there(values: np.ndarray) -> np.ndarray:
    """Returns for each step the last one, up to it, that has a value; (steps,), int64. The first one has a value."""
    return np.maximum.accumulate(np.where(np.isnan(values), 0, np.arange(len(values))))


def carried(values: np.ndarray) -> np.ndarray:
    """Returns covariates with each gap filled by the value before; 0 where none comes before.

    Args:
        values: (steps, covariates), scaled, NaN for a gap.
    """
    if not np.isnan(values).any():
        return values
    columns = []
    for column in values.T:
        there = ~np.isnan(column)
        before = np.maximum.accumulate(np.where(there, np.arange(len(column)), -1))
        columns.append(np.where(before >= 0, column[np.maximum(before, 0)], 0.0))
    return np.stack(columns, 1)
