"""Columns as numbers for models: how each is encoded, found on the training rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from rk import UserError
from rk_tabular.frame import Frame

Type = Literal["number", "category", "date"]
"""How a column is encoded."""
YEAR = 365.2425 * 86400
PARTS = {"year": 0.0, "season": YEAR, "week": 7 * 86400.0, "day": 86400.0}
"""Part of a date -> its period in seconds: sine and cosine of the phase; ``year`` is the time itself, in years."""
CLIPPED = 1e6
"""Standardised numbers are clipped to this many standard deviations, so that no input overflows."""
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Number:
    """A column, or a part of a date, that becomes one number: (x - mean) / std.

    Attributes:
        column: Name of the column.
        mean: Over the training rows that have a value.
        std: Likewise; 1 where all are the same.
        gaps: Whether training rows lack a value: then `one-hot` has a second input, 1 where it is missing.
        part: Of a date: a key of `PARTS`, with ``-sin`` or ``-cos``, or ``year``.
    """

    column: str
    mean: float
    std: float
    gaps: bool
    part: str | None = None


@dataclass(frozen=True)
class Category:
    """A column that becomes a code: 0 for what no training row has, then the values in this order.

    Attributes:
        column: Name of the column.
        values: The texts; None stands for a gap, where training rows have some.
    """

    column: str
    values: tuple[str | None, ...]


@dataclass(frozen=True)
class Columns:
    """How the columns of a table become inputs. Numbers come first, then categories.

    Attributes:
        numbers: In the order of the inputs.
        categories: Likewise.
        left_out: Column -> why it says nothing: ``constant``, ``empty``, ``no value occurs twice``.
    """

    numbers: tuple[Number, ...]
    categories: tuple[Category, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that are read, each once."""
        return tuple(dict.fromkeys([n.column for n in self.numbers] + [c.column for c in self.categories]))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of codes of each category, 0 included."""
        return tuple(len(category.values) + 1 for category in self.categories)

    def encode(self, frame: Frame) -> Tensor:
        """Returns (rows, numbers + categories), float32: standardised numbers, NaN for a gap, then codes.

        Raises:
            rk.UserError: When a column of numbers or dates holds anything else.
        """
        found = np.empty((len(frame), len(self.numbers) + len(self.categories)), np.float32)
        cache: dict[str, NDArray[np.float64]] = {}
        for i, number in enumerate(self.numbers):
            values = cache.get(number.column)
            if values is None:
                values = _seconds(frame, number.column) if number.part else _floats(frame, number.column)
                cache = {number.column: values}  # the parts of a date follow each other
            parts = values if number.part is None else _part(values, number.part)
            found[:, i] = np.clip((parts - number.mean) / number.std, -CLIPPED, CLIPPED)
        for i, category in enumerate(self.categories, len(self.numbers)):
            found[:, i] = _codes(frame.texts(category.column), category.values)
        return torch.from_numpy(found)

    def widen(self, encoded: Tensor) -> Tensor:
        """Returns (rows, `width`) from `encode`'s result: a gap is 0 and a 1 in an input of its own, codes are one-hot.

        A value that no training row has is zeros in all inputs of its category.
        """
        count = len(self.numbers)
        numbers = encoded[:, :count]
        parts = [numbers.nan_to_num(0.0), numbers[:, self._with_gaps].isnan().to(numbers.dtype)]
        if self.categories:
            ends = np.cumsum(self.sizes)
            codes = encoded[:, count:].long() + torch.from_numpy(ends - self.sizes)
            hot = numbers.new_zeros(len(encoded), int(ends[-1])).scatter_(1, codes, 1.0)
            parts.append(hot[:, self._known])
        return torch.cat(parts, 1)

    @cached_property
    def _with_gaps(self) -> Tensor:
        return torch.tensor([i for i, number in enumerate(self.numbers) if number.gaps], dtype=torch.int64)

    @cached_property
    def _known(self) -> Tensor:
        """Returns the places of the codes, of all categories side by side, that are not 0."""
        return torch.cat([torch.arange(size) > 0 for size in self.sizes]).nonzero().flatten()

    @property
    def width(self) -> int:
        """The number of inputs that `widen` gives."""
        indicators = sum(number.gaps for number in self.numbers)
        return len(self.numbers) + indicators + sum(len(category.values) for category in self.categories)

    def features(self, wide: bool) -> list[dict[str, Any]]:
        """Returns what each input is, as plain JSON, in the order of the inputs: for programs without rk."""
        found: list[dict[str, Any]] = []
        for number in self.numbers:
            part = {} if number.part is None else {"part": number.part}
            gap = {"gap": 0.0 if wide else None}
            found.append({"column": number.column, **part, "mean": number.mean, "std": number.std, **gap})
        if wide:
            found += [{"column": number.column, "missing": True} for number in self.numbers if number.gaps]
            found += [{"column": c.column, "equals": value} for c in self.categories for value in c.values]
        else:
            found += [{"column": c.column, "codes": list(c.values), "other": 0} for c in self.categories]
        return found

    def state(self) -> dict[str, Any]:
        """Returns tensors and plain values, from which `from_state` makes the same columns."""
        return {
            "mean": torch.tensor([n.mean for n in self.numbers], dtype=torch.float64),
            "std": torch.tensor([n.std for n in self.numbers], dtype=torch.float64),
            "gaps": torch.tensor([n.gaps for n in self.numbers], dtype=torch.bool),
            "numbers": [n.column for n in self.numbers],
            "parts": [n.part for n in self.numbers],
            "categories": {c.column: list(c.values) for c in self.categories},
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Columns:
        """Takes what `state` returned."""
        rows = zip(state["numbers"], state["mean"], state["std"], state["gaps"], state["parts"], strict=True)
        numbers = tuple(Number(c, float(mean), float(std), bool(gaps), part) for c, mean, std, gaps, part in rows)
        return cls(numbers, tuple(Category(name, tuple(values)) for name, values in state["categories"].items()))


def fit_columns(frame: Frame, names: Sequence[str], types: Mapping[str, Type], max_categories: int) -> Columns:
    """Returns how columns are encoded, found on the rows of `frame`.

    Args:
        frame: The training rows.
        names: The columns that may be inputs.
        types: Column -> how it is encoded, where what it holds does not show it.
        max_categories: Most values of a category; rarer ones, and those of one row, count as unknown.

    Raises:
        rk.UserError: When a column is not what it should be, or all columns say nothing.
    """
    numbers: list[Number] = []
    categories: list[Category] = []
    left_out: dict[str, str] = {}
    for name in names:
        frame_type = type_of(frame, name, types)
        if frame.kinds[name] == "empty" or frame.table[name].null_count() == len(frame):
            left_out[name] = "empty"
        elif frame_type == "category":
            category = _fit_category(frame, name, max_categories)
            if isinstance(category, str):
                left_out[name] = category
            else:
                categories.append(category)
        else:
            found = _fit_date(frame, name) if frame_type == "date" else _fit_number(frame, name)
            numbers += found
            if not found:
                left_out[name] = "constant"
    if not numbers and not categories:
        reasons = (
            ", ".join(f"{name} ({why})" for name, why in list(left_out.items())[:10]) or "there is no other column"
        )
        raise UserError(f"{frame.path}: no column distinguishes the training rows: {reasons}")
    return Columns(tuple(numbers), tuple(categories), left_out)


def type_of(frame: Frame, name: str, types: Mapping[str, Type]) -> Type:
    """Returns how a column is encoded. Raises `rk.UserError` for one that is mostly numbers, or dates, and not all."""
    if name in types:
        return types[name]
    frame.check(name)
    kind = frame.kinds[name]
    return "date" if kind == "date" else "category" if kind == "text" else "number"


def _fit_number(frame: Frame, name: str) -> list[Number]:
    values = _floats(frame, name)
    if (beyond := np.flatnonzero(np.abs(values) > _LARGEST)).size:
        place = frame.place(int(beyond[0]), name)
        raise UserError(f"{place}: {values[beyond[0]]:g} is beyond float32", "scale the values to within 3.4e38")
    number = _standard(name, values, None)
    constant = number.std == 1.0 and bool(np.nanmin(values) == np.nanmax(values))
    return [] if constant and not number.gaps else [number]


def _fit_date(frame: Frame, name: str) -> list[Number]:
    """Returns the parts of a date that differ among the rows: seasons of dates of a month say nothing."""
    seconds = _seconds(frame, name)
    filled = seconds[~np.isnan(seconds)]
    span = float(filled.max() - filled.min())
    if span == 0 and len(filled) == len(seconds):
        return []
    within_days = bool((filled % 86400 != 0).any())
    parts = ["year"] if span else []
    parts += ["season-sin", "season-cos"] if span > YEAR / 6 else []
    parts += (
        ["week-sin", "week-cos"] if span >= 7 * 86400 and (within_days or len(set(filled // 86400 % 7)) > 1) else []
    )
    parts += ["day-sin", "day-cos"] if within_days else []
    return [_standard(name, _part(seconds, part), part) for part in parts or ["year"]]


def _standard(name: str, values: NDArray[np.float64], part: str | None) -> Number:
    missing = bool(np.isnan(values).any())
    mean, std = float(np.nanmean(values)), float(np.nanstd(values))
    return Number(name, mean, std if std > 1e-12 * max(1.0, abs(mean)) else 1.0, missing, part)


def _fit_category(frame: Frame, name: str, max_categories: int) -> Category | str:
    """Returns how a category is encoded, or why it says nothing."""
    texts = frame.texts(name)
    counts = texts.drop_nulls().value_counts(sort=False)
    counts.columns = ["value", "rows"]
    if counts.height == 1 and not texts.has_nulls():
        return "constant"
    twice = counts.filter(pl.col("rows") > 1).sort("rows", "value", descending=[True, False])
    if not twice.height and counts.height > 2:
        return "no value occurs twice"
    kept = (twice if twice.height else counts).head(max_categories)["value"].to_list()
    return Category(name, (*([None] if texts.has_nulls() else []), *sorted(kept, key=natural)))


def natural(text: str) -> tuple[float, str]:
    """Returns what texts are sorted by: numbers by their size, then words."""
    try:
        value = float(text)
    except ValueError:
        return math.inf, text
    return (value, text) if math.isfinite(value) else (math.inf, text)


def _codes(texts: pl.Series, values: Sequence[str | None]) -> NDArray[np.float32]:
    codes = texts.replace_strict(list(values), list(range(1, len(values) + 1)), default=0, return_dtype=pl.Float32)
    gap = values.index(None) + 1 if None in values else 0
    return codes.set(texts.is_null(), float(gap)).to_numpy()


def _floats(frame: Frame, name: str) -> NDArray[np.float64]:
    return frame.numbers(name).fill_null(math.nan).to_numpy()


def _seconds(frame: Frame, name: str) -> NDArray[np.float64]:
    """Returns a column of dates as seconds since 1970, NaN for a gap."""
    micros = frame.dates(name).dt.epoch("us")
    return (micros.cast(pl.Float64) / 1e6).fill_null(math.nan).to_numpy()


def _part(seconds: NDArray[np.float64], part: str) -> NDArray[np.float64]:
    if part == "year":
        return seconds / YEAR
    name, _, wave = part.partition("-")
    phase = 2 * math.pi * (seconds / PARTS[name])
    return np.sin(phase) if wave == "sin" else np.cos(phase)
