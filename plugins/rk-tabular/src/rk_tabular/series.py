"""The data `timeseries`: a user's own file of dates and numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from rk.drafting import Draft
from rk_tabular.series_data import Loaded, SeriesData, load_file
from rk_tabular.series_frequency import Named
from rk_tabular.series_panel import Duplicates
from rk_tabular.series_table import Columns


class TimeSeries(SeriesData):
    """Your own time series: a table (CSV, TSV, Parquet, JSON lines) with a column of dates and one of numbers.

    Many series are in one file, in the long form (the columns `series` name the one that a row belongs to) or in the
    wide form (each column of `target` is a series). One model learns from all of them. `rk predict RUN new.csv` answers
    the dates after the file's end.

    Dates may have most notations; whether 01/02/2024 is in February is taken from the whole column, and has to be
    stated where nothing shows it. Hours of a time zone are counted in UTC, calendar features follow the local clock.

    Args:
        file: The table, beside the working folder or absolute; also inside a gzip file.
        time: Column of the dates.
        target: Column, or columns, to predict.
        series: Columns whose values together name a series.
        past: Columns of covariates that are known only until now.
        known: Columns of covariates that are known of the future too.
        frequency: Steps between dates; null: as the dates show.
        day_first: Whether 01/02/2024 is in February; null: as other dates of the column show.
        time_zone: Time zone of times without an offset, such as `Europe/Zurich`; those with one are converted to it.
        duplicates: Whether several rows of one date and series are an error, or are merged into their sum or mean.

    Examples:
        data: {name: timeseries, file: sales.csv, time: day, target: sold, series: [shop], horizon: 7}
    """

    drafts = (".csv", ".tsv", ".tab", ".parquet", ".jsonl", ".ndjson")

    def __init__(
        self,
        *,
        file: Path,
        time: str,
        target: str | list[str],
        series: list[str] | None = None,
        past: list[str] | None = None,
        known: list[str] | None = None,
        frequency: Literal["minutely", "hourly", "daily", "business-days", "weekly", "monthly", "quarterly", "yearly"]
        | None = None,
        day_first: bool | None = None,
        time_zone: str | None = None,
        duplicates: Literal["error", "sum", "mean"] = "error",
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.file = file
        self._frequency_name: Named | None = frequency
        self._duplicates: Duplicates = duplicates
        self._day_first = day_first
        self._zone = _zone(time_zone)
        targets = (target,) if isinstance(target, str) else tuple(target)
        if not targets:
            raise ValueError("target must name a column")
        self._columns = Columns(time, targets, tuple(series or ()), tuple(past or ()), tuple(known or ()))

    @classmethod
    def draft(cls, path: Path, target: str | None) -> Draft | None:
        """Returns a recipe for a table whose dates are regular; None for any other."""
        from rk_tabular.series_draft import draft_series

        return draft_series(path, target)

    def _load(self) -> Loaded:
        return load_file(self.file, self._columns, self._duplicates, self._frequency_name, self._day_first, self._zone)


def _zone(name: str | None) -> ZoneInfo | None:
    """Returns the time zone of that name. Raises ValueError when there is none."""
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"time_zone: there is no time zone {name!r}; one is Europe/Zurich") from None
