"""The base of data that is forecast: splits by date, windows, forecasts with their dates, figures."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
from annotated_types import Ge

from rk import UserError
from rk.protocols import Batch, Outputs
from rk.sampling import batch_count, rows
from rk_tabular.series_calendar import calendar_features, calendar_names, usual_cycles
from rk_tabular.series_fields import WindowsBatch
from rk_tabular.series_frequency import Frequency
from rk_tabular.series_metrics import MAE, MAPE, MASE, RMSE, SMAPE, true_values
from rk_tabular.series_panel import Duplicates, Gaps, Series, check_gaps, ordered
from rk_tabular.series_table import Columns, open_table, table_rows
from rk_tabular.series_windows import SPLITS, Scaling, Spans, Windows, fit_scaling, spans

HELD_OUT = 0.15
"""Share of the dates that is validated, and tested, by default."""


@dataclass(frozen=True)
class Loaded:
    """Series and how their dates are written.

    Attributes:
        series: With NaN where a value is missing.
        frequency: Of their dates.
        offset: What is written behind times; empty where the file has no offsets.
        source: What messages name.
        day_first: How dates such as 01/02/2024 were read; None where there are none.
    """

    series: Sequence[Series]
    frequency: Frequency
    offset: str
    source: str
    day_first: bool | None = None


class SeriesData(ABC):
    """Series of numbers, of which windows of the past are given and the next values are predicted.

    The last `test_length` dates are tested and those before them validated, from every date that leaves a whole
    horizon (rolling origins). A forecast sees the past of its origin alone, whatever split that is in. Values are
    scaled by mean and deviation of each series on the training span; errors are in the unit of the file.

    Args:
        seed: Orders the training windows.
        window: Steps that are given.
        horizon: Steps that are predicted; at most `window`.
        season: Steps of a season, for MASE and the seasonal-naive forecast; null: a week of days, a day of hours, a
            year of months.
        val_length: Dates that are validated; null: 15%, at least `horizon`.
        test_length: Dates that are tested; null: 15%, at least `horizon`.
        stride: Steps from one training window to the next.
        eval_stride: Steps from one origin of validation and tests to the next.
        gaps: Whether missing values are an `error`, or are filled: `interpolate`, `previous` value, `zero`.
        level: What values are relative to: the training mean of the `series`; or the `last` value of the window, or the
            mean of its last `season`, which keep series with a trend in range.
        calendar: Calendar features of each date; null: those that are longer than a step.
        batch_size: Windows of a batch.

    Raises:
        ValueError: When a window is shorter than the horizon.
    """

    splits = SPLITS
    metrics = {"mase": MASE, "mae": MAE, "rmse": RMSE, "smape": SMAPE, "mape": MAPE}
    window: int
    horizon: int
    season: int
    num_features: int
    num_known: int
    num_outputs: int
    vocab_size: None = None
    readout: Literal["last"] = "last"
    _columns: Columns
    _duplicates: Duplicates = "error"
    _day_first: bool | None = None
    _zone: ZoneInfo | None = None

    def __init__(
        self,
        *,
        seed: int,
        window: Annotated[int, Ge(1)] = 28,
        horizon: Annotated[int, Ge(1)] = 7,
        season: Annotated[int, Ge(1)] | None = None,
        val_length: Annotated[int, Ge(1)] | None = None,
        test_length: Annotated[int, Ge(1)] | None = None,
        stride: Annotated[int, Ge(1)] = 1,
        eval_stride: Annotated[int, Ge(1)] = 1,
        gaps: Gaps = "error",
        level: Literal["series", "last", "season"] = "series",
        calendar: list[Literal["hour", "weekday", "month"]] | None = None,
        batch_size: Annotated[int, Ge(1)] = 64,
    ) -> None:
        if window < horizon:
            raise ValueError(f"window must be >= horizon, got {window} and {horizon}")
        self.seed = seed
        self.window, self.horizon = window, horizon
        self.stride, self.eval_stride = stride, eval_stride
        self.gaps, self.level = gaps, level
        self.batch_size = batch_size
        self.num_outputs = horizon
        self._lengths = (val_length, test_length)
        self._season, self._calendar = season, calendar

    @abstractmethod
    def _load(self) -> Loaded:
        """Returns the series. Raises `rk.UserError` for a file that is damaged."""

    def prepare(self) -> None:
        loaded = self._load()
        series = loaded.series
        _warn(check_gaps(series, self.gaps, loaded.frequency, loaded.source))
        self._frequency, self._offset = loaded.frequency, loaded.offset
        self._day_first = loaded.day_first if self._day_first is None else self._day_first
        self.season = self._season or loaded.frequency.season
        self._spans = self._find_spans(series, loaded.source)
        first = min(s.start for s in series)
        chosen = self._calendar
        self._cycles = usual_cycles(loaded.frequency, self._spans.train - first) if chosen is None else tuple(chosen)
        fitted = {s.name: fit_scaling(s, self._spans.train, self.season) for s in series}
        self._scalings = {name: scaling for name, scaling in fitted.items() if scaling is not None}
        series = [s for s in series if s.name in self._scalings]
        if not series:
            raise UserError(f"{loaded.source}: no series has a value in the training span", self._lengths_hint())
        if late := [name for name, scaling in fitted.items() if scaling is None]:
            shown = ", ".join(late[:3]) + (", ..." if len(late) > 3 else "")
            _warn(f"{loaded.source}: {len(late)} series begin after the training span and are left out: {shown}")
        self._windows = self._cut(series, self._scalings)
        self.num_features, self.num_known = self._windows.num_features, self._windows.num_known
        self._origins = {
            split: self._windows.origins(self._spans.of(split), self.stride if split == "train" else self.eval_stride)
            for split in SPLITS
        }
        self._check_origins(loaded.source)
        self._warn_of_zeros(loaded.source)

    def batches(self, split: str) -> int:
        return batch_count(len(self._origins[split]), self.batch_size)

    def batch(self, split: str, i: int, stage: int = 0) -> WindowsBatch:
        origins = self._origins[split]
        chosen = rows(len(origins), self.batch_size, i, seed=self.seed, shuffle=split == "train")
        batch: Any = self._windows.cut(origins[chosen], self._spans.of(split)[1])
        return batch

    def read(self, path: Path) -> Batch:
        """Reads a file with the columns of the training file; each series is forecast from its last value on.

        Rows behind the last value give the known covariates of dates to come. A series that training did not have is
        scaled by its own values. One that is shorter than a window, but not than a season, has a forecast too.
        """
        loaded = load_file(path, self._columns, self._duplicates, self._frequency, self._day_first, self._zone)
        _warn(check_gaps(loaded.series, self.gaps, loaded.frequency, loaded.source))
        scalings = dict(self._scalings)
        new = [s for s in loaded.series if s.name not in scalings]
        for one in new:
            scalings[one.name] = self._own_scaling(one)
        if new:
            shown = ", ".join(s.name or "the series" for s in new[:3]) + (", ..." if len(new) > 3 else "")
            _warn(f"{loaded.source}: not in training, scaled by their own values: {shown}")
        shortest = min(self.window, self.season)
        self._check_lengths(loaded, shortest)
        self._check_known(loaded)
        windows = self._cut(loaded.series, scalings)
        return windows.cut(windows.ends(shortest))

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns the forecast of each date, one dict for each, with the truth where it is known."""
        values = true_values(outputs["values"].cpu(), batch["center"].cpu(), batch["spread"].cpu()).tolist()
        truth = seen = None
        if "targets" in batch:
            truth = true_values(batch["targets"].cpu(), batch["center"].cpu(), batch["spread"].cpu()).tolist()
            seen = batch["observed"].tolist()
        several = len(set(batch["series_meta"])) > 1 or any(batch["series_meta"])
        found = []
        for i, (name, origin) in enumerate(zip(batch["series_meta"], batch["origin_meta"], strict=True)):
            for h, value in enumerate(values[i]):
                answer: dict[str, Any] = {"series": name} if several else {}
                answer |= {"date": self._date(origin + h), "value": value}
                if truth is not None and seen is not None and seen[i][h]:
                    answer["target"] = truth[i][h]
                found.append(answer)
        return found

    def render(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Draws up to six windows: what was given, the forecast, and the truth where it is known."""
        from rk_tabular.series_drawing import draw_forecasts  # matplotlib: loaded only to draw

        center, spread = batch["center"].cpu(), batch["spread"].cpu()
        history = true_values(batch["inputs"][..., 0].cpu(), center, spread).numpy()
        values = true_values(outputs["values"].cpu(), center, spread).numpy()
        truth = None
        if "targets" in batch:
            truth = true_values(batch["targets"].cpu(), center, spread).numpy()
            truth = np.where(batch["observed"].cpu().numpy(), truth, np.nan)
        stamps = [
            self._frequency.stamps(np.arange(origin - self.window, origin + self.horizon))
            for origin in batch["origin_meta"]
        ]
        return [draw_forecasts(batch["series_meta"], stamps, history, values, truth, out)]

    def state_dict(self) -> dict[str, Any]:
        """Returns the grid of dates, the season, and how each series is scaled."""
        return {
            "frequency": self._frequency.plain(),
            "offset": self._offset,
            "day_first": self._day_first,
            "season": self.season,
            "cycles": list(self._cycles),
            "scalings": {name: scaling.plain() for name, scaling in self._scalings.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._frequency, self._offset = Frequency(**state["frequency"]), state["offset"]
        self._day_first = state["day_first"]
        self.season, self._cycles = state["season"], tuple(state["cycles"])
        self._scalings = {name: Scaling(**plain) for name, plain in state["scalings"].items()}

    def preprocessing(self) -> dict[str, Any]:
        """Returns how series become ``inputs``, and what the features of a step are called."""
        columns, calendar = self._columns, list(calendar_names(self._cycles))
        known = [*columns.known, *calendar]
        later = [f"{name}, {self.horizon} later" for name in known]
        return {
            "field": "inputs",
            "from": "series",
            "time": columns.time,
            "frequency": self._frequency.name,
            "window": self.window,
            "horizon": self.horizon,
            "level": self.level,
            "features": ["value", *columns.past, *known, *later],
            "series": [{"name": name, "mean": s.mean, "std": s.deviation} for name, s in self._scalings.items()],
        }

    # -- how series become windows ------------------------------------------------------------------------------------

    def _cut(self, series: Sequence[Series], scalings: dict[str, Scaling]) -> Windows:
        calendar = [self._calendar_of(s.start, len(s.values) + self.horizon) for s in series]
        return Windows(
            series,
            [scalings[s.name] for s in series],
            calendar,
            window=self.window,
            horizon=self.horizon,
            season=self.season,
            gaps=self.gaps,
            level=self.level,
        )

    def _calendar_of(self, start: int, steps: int) -> np.ndarray:
        stamps = self._frequency.stamps(np.arange(start, start + steps))
        if self._zone is not None and self._offset:  # people live by the clock on the wall
            local = [s.replace(tzinfo=UTC).astimezone(self._zone).replace(tzinfo=None) for s in stamps.tolist()]
            stamps = np.array(local, stamps.dtype)
        return calendar_features(stamps, self._cycles)

    def _own_scaling(self, one: Series) -> Scaling:
        found = fit_scaling(one, one.end, self.season)
        if found is None:
            raise AssertionError("a series has a first value")
        return found

    def _find_spans(self, series: Sequence[Series], source: str) -> Spans:
        total = max(s.end for s in series) - min(s.start for s in series)
        usual = max(self.horizon, round(HELD_OUT * total))
        val, test = (usual if length is None else length for length in self._lengths)
        for name, length in (("val_length", val), ("test_length", test)):
            if length < self.horizon:
                raise UserError(f"data.{name} must be >= data.horizon ({self.horizon}), got {length}")
        left = total - val - test
        if left < self.window + self.horizon:
            raise UserError(
                f"{source}: {total} {self._frequency.noun} are too few: of them {max(left, 0)} are left to train on, "
                f"a window with its horizon has {self.window + self.horizon}",
                "lower data.window, data.horizon, data.val_length or data.test_length",
            )
        return spans(series, val, test)

    def _lengths_hint(self) -> str:
        return "lower data.val_length, data.test_length or data.window"

    def _check_origins(self, source: str) -> None:
        for split, origins in self._origins.items():
            if not len(origins):
                raise UserError(f"{source}: no series has a whole window for the split {split}", self._lengths_hint())

    def _warn_of_zeros(self, source: str) -> None:
        """Warns of what the metrics leave out."""
        zeros = total = 0
        for one in self._windows.series:
            values = one.values[max(0, self._spans.train - one.start) :]
            zeros += int((values == 0).sum())
            total += int((~np.isnan(values)).sum())
        if zeros:
            _warn(f"{source}: {zeros} of {total} values of val and test are 0: mape leaves them out")
        without = [s.name for s in self._windows.series if not self._scalings[s.name].seasonal_error]
        if without and any(without):
            shown = ", ".join(without[:3]) + (", ..." if len(without) > 3 else "")
            _warn(f"{source}: {len(without)} series repeat their season in training: mase leaves them out: {shown}")

    def _check_lengths(self, loaded: Loaded, shortest: int) -> None:
        """Raises `rk.UserError` where no series has `shortest` steps; warns of series shorter than a window."""
        longest = max(len(s.values) for s in loaded.series)
        if longest < shortest:
            raise UserError(
                f"{loaded.source}: a forecast needs {shortest} {self._frequency.noun} or more, got {longest}"
            )
        for least, most, what in (
            (0, shortest, f"have fewer than {shortest} {self._frequency.noun} and no forecast"),
            (
                shortest,
                self.window,
                f"are shorter than the window of {self.window}: what is before counts as their level",
            ),
        ):
            if short := [s.name for s in loaded.series if least <= len(s.values) < most]:
                shown = ": " + ", ".join(short[:3]) + (", ..." if len(short) > 3 else "") if any(short) else ""
                _warn(f"{loaded.source}: {len(short)} series {what}{shown}")

    def _check_known(self, loaded: Loaded) -> None:
        """Raises `rk.UserError` where known covariates of the dates to come are missing."""
        for one in loaded.series:
            if one.known.shape[1]:
                ahead = one.known[len(one.values) : len(one.values) + self.horizon]
                if len(ahead) < self.horizon or np.isnan(ahead).any():
                    names = ", ".join(self._columns.known)
                    last = self._date(one.end + self.horizon - 1)
                    raise UserError(
                        f"{loaded.source}: {names} must be known up to {last}",
                        f"add a row with an empty {self._columns.target[0]} for each date to come",
                    )

    def _date(self, step: int) -> str:
        if self._zone is not None and self._offset:
            moment = self._frequency.stamps(np.array([step]))[0].item()
            return str(moment.replace(tzinfo=UTC).astimezone(self._zone).isoformat())
        return self._frequency.written(step, self._offset)


def load_file(
    path: Path,
    columns: Columns,
    duplicates: Duplicates,
    frequency: Any,
    day_first: bool | None,
    zone: ZoneInfo | None,
) -> Loaded:
    """Returns the series of a user's file.

    Args:
        path: The file.
        columns: Which columns are what.
        duplicates: What is done with several rows of one date and series.
        frequency: The grid, or its name; None: as the dates show.
        day_first: How 01/02/2024 is read.
        zone: Of times without an offset.

    Raises:
        rk.UserError: When it is damaged, lacks columns, or its dates are not regular.
    """
    frame, texts = open_table(path)
    frame.column(columns.time)
    dates = texts.dates(columns.time, day_first, zone)
    series, found = ordered(table_rows(frame, dates, columns), duplicates, frequency)
    return Loaded(series, found, "" if found.date_only else dates.offset, str(path), dates.day_first)


def _warn(text: str | None) -> None:
    if text is not None:
        print(f"warning: {text}", file=sys.stderr)
