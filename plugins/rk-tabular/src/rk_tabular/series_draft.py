"""The recipe that a table of dates gets from `rk recipes init`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rk import UserError
from rk.drafting import Draft
from rk_tabular.frame import Frame, NotATable
from rk_tabular.series_data import HELD_OUT
from rk_tabular.series_dates import AmbiguousDates, Dates
from rk_tabular.series_frequency import Frequency
from rk_tabular.series_panel import Series, ordered
from rk_tabular.series_table import Columns, Texts, open_table, table_rows

SURE = 0.9
MOST_SERIES = 1000
MOST_NAMING = 3
"""Columns that together may name a series."""
MISSING = 0.2
"""Share of missing values from which dates are hardly a grid."""


def draft_series(path: Path, target: str | None) -> Draft | None:
    """Returns a recipe for a table with a regular column of dates; None for any other.

    Args:
        path: The table.
        target: The column to predict; None: the last one of numbers.

    Raises:
        rk.UserError: When the table is damaged, or has no such column.
    """
    try:
        frame, texts = open_table(path)
    except NotATable:
        return None
    numbers = [name for name in frame.names if frame.kinds[name] == "number"]
    if target is not None:
        target = frame.column(target)
    times = [name for name in texts.date_columns() if name != target]
    if not times or not numbers or (target is not None and target not in numbers):
        return None
    chosen = target or numbers[-1]
    for time in times:
        for dates in _read_dates(texts, time):
            found = _grid(frame, dates, time, chosen)
            if found is not None:
                return _draft(path, frame, dates, target is not None, *found)
    return None


def _read_dates(texts: Texts, time: str) -> Iterator[Dates]:
    """Yields the readings of a column: two, where nothing shows whether days or months come first."""
    try:
        yield texts.dates(time, None, None)
    except AmbiguousDates:
        yield texts.dates(time, True, None)
        yield texts.dates(time, False, None)
    except UserError:
        return


def _grid(frame: Frame, dates: Dates, time: str, target: str) -> tuple[Columns, list[Series], Frequency] | None:
    """Returns how the rows become series of regular dates, with as few columns as possible that name a series."""
    texts = [name for name in frame.names if frame.kinds[name] == "text"]
    codes = [n for n in frame.names if frame.kinds[n] == "number" and frame.table[n].dtype == pl.Int64 and n != target]
    for naming in (texts, texts + codes):
        for count in range(MOST_NAMING + 1):
            for names in combinations(naming[:8], count):
                if _unique(frame, dates, names):
                    columns = Columns(time, (target,), names)
                    try:
                        series, frequency = ordered(table_rows(frame, dates, columns), "error", None)
                    except UserError:
                        continue
                    missing = sum(len(s.gaps) for s in series)
                    if len(series) <= MOST_SERIES and missing < MISSING * sum(len(s.values) for s in series):
                        return columns, series, frequency
    return None


def _unique(frame: Frame, dates: Dates, names: tuple[str, ...]) -> bool:
    """Whether no date comes twice for one value of these columns, and values come often enough to be series."""
    keys = pl.DataFrame(
        [pl.Series("date", dates.stamps), *(frame.table[n].rename(f"n{i}") for i, n in enumerate(names))]
    )
    if names and keys.select(pl.exclude("date")).n_unique() > len(frame) / 10:
        return False
    return keys.n_unique() == len(frame)


def _draft(
    path: Path,
    frame: Frame,
    dates: Dates,
    asked: bool,
    columns: Columns,
    series: list[Series],
    frequency: Frequency,
) -> Draft | None:
    sizes = _sizes(frequency, series)
    if sizes is None:
        return None
    window, horizon = sizes
    target = columns.target[0]
    data: dict[str, Any] = {"file": str(path), "time": columns.time, "target": target}
    comments = {
        "data.time": f"dates are {frequency.name}, from {frequency.written(min(s.start for s in series))}"
        f" to {frequency.written(max(s.end for s in series) - 1)}",
        "data.target": "as asked" if asked else "the last column of numbers",
    }
    if columns.series:
        data["series"] = list(columns.series)
        comments["data.series"] = f"dates come once for each value of these: {len(series)} series"
    if dates.day_first is not None:
        data["day_first"] = dates.day_first
        comments["data.day_first"] = "01/02/2024 is in " + ("February" if dates.day_first else "January")
    data["window"], data["horizon"] = window, horizon
    comments["data.window"] = f"{frequency.noun} that are given"
    comments["data.horizon"] = f"{frequency.noun} that are predicted; the season is {frequency.season}"
    data["level"] = "season" if 1 < frequency.season <= window else "last"
    what = "the mean of the last season" if data["level"] == "season" else "the last value"
    comments["data.level"] = f"values are relative to {what} in the window: series with a trend stay in range"
    notes = []
    if missing := sum(len(s.gaps) for s in series):
        data["gaps"] = "interpolate"
        comments["data.gaps"] = f"{missing} of {sum(len(s.values) for s in series)} values are missing"
    left = [n for n in frame.names if n not in (columns.time, target, *columns.series) and frame.kinds[n] == "number"]
    if left:
        notes.append(
            f"not used: {', '.join(left)}; data.past (data.known) takes what is known until now (of the future)"
        )
    many = f" of {len(series)} series" if len(series) > 1 else ""
    about = f"the next {horizon} {frequency.noun} of {target}{many}, from {window} before"
    return Draft(about, data, _choices(window, frequency, series), comments, tuple(notes), SURE)


def _sizes(frequency: Frequency, series: list[Series]) -> tuple[int, int] | None:
    """Returns window and horizon; None where the dates are too few for a forecast."""
    season = frequency.season
    horizon = {5: 10, 7: 14, 52: 8}.get(season, season if 1 < season <= 48 else 8)
    window = max(season, 2 * horizon) if season in (5, 7) else 2 * max(season, horizon)
    total = max(s.end for s in series) - min(s.start for s in series)
    longest = max(len(s.values) for s in series)
    while window + horizon > longest - 2 * max(horizon, round(HELD_OUT * total)) and horizon > 1:
        window, horizon = max(2, window // 2), max(1, horizon // 2)
    if window < horizon or longest < 30 or window + 3 * horizon > longest:
        return None
    return window, horizon


def _choices(window: int, frequency: Frequency, series: list[Series]) -> dict[str, dict[str, Any]]:
    windows = sum(len(s.values) for s in series)
    steps = int(np.clip(30 * windows // 64, 500, 5000))
    trained: dict[str, Any] = {
        "loss": {"name": "forecast-error", "kind": "absolute"},
        "trainer": {"name": "backprop", "optimizer": {"name": "adam", "lr": 1e-3, "schedule": "linear"}},
        "fit": {"max_steps": steps, "validate_every": steps // 10, "monitor": "val/mase"},
    }
    found: dict[str, dict[str, Any]] = {
        "forecast-mlp": {"model": {"name": "forecast-mlp", "hidden_sizes": [64]}, **trained},
        "linear": {"model": {"name": "forecast-mlp", "hidden_sizes": []}, **trained},
        "ridge-lags": {"trainer": {"name": "ridge-lags", "alpha": 10.0}},
    }
    if window >= frequency.season:
        found["seasonal-naive"] = {"trainer": "seasonal-naive"}
    if find_spec("rk_sequence") and find_spec("rk_rnn"):
        found["gru"] = {"model": {"name": "sequence", "layer": "gru", "d_model": 64}, **trained}
    return found
