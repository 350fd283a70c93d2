"""Series as windows: splits by date, scaling on the training span, and all windows in one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from rk_tabular.series_panel import Gaps, Series, carried, filled, last_there

Level = Literal["series", "last", "season"]
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Spans:
    """Where the splits begin and end, as steps of the grid: each span is a half-open range of targets.

    Attributes:
        train: The step after the training span.
        val: The step after the validation span.
        test: The step after the test span.
    """

    train: int
    val: int
    test: int

    def of(self, split: str) -> tuple[int, int]:
        """Returns the first step of a split and the one after its last; the training span begins with the series."""
        begin = {"train": -(2**62), "val": self.train, "test": self.val}[split]
        return begin, {"train": self.train, "val": self.val, "test": self.test}[split]


def spans(series: Sequence[Series], val_length: int, test_length: int) -> Spans:
    """Returns the spans: the last `test_length` steps are tested, those before are validated."""
    end = max(s.end for s in series)
    return Spans(end - test_length - val_length, end - test_length, end)


@dataclass(frozen=True)
class Scaling:
    """How one series is scaled: by its own training span, and nothing after it.

    Attributes:
        mean: Of the values.
        deviation: Of the values, without Bessel's correction; 1 for a constant.
        seasonal_error: Mean of ``|y[t] - y[t - season]|``; 0 where the span has no such pair, or all are equal.
        covariate_mean: Of each covariate, the past ones first.
        covariate_deviation: Of each covariate.
    """

    mean: float
    deviation: float
    seasonal_error: float
    covariate_mean: tuple[float, ...]
    covariate_deviation: tuple[float, ...]

    def plain(self) -> dict[str, Any]:
        """Returns what `Scaling(**plain)` takes, as plain values."""
        return dict(self.__dict__)


def fit_scaling(series: Series, end: int, season: int) -> Scaling | None:
    """Returns the scaling of a series by its values before the step `end`; None where it has none.

    Gaps count for nothing: only what is in the file.

    Args:
        series: With NaN where a value is missing.
        end: The step after the training span.
        season: Steps of a season.
    """
    values = series.values[: max(0, end - series.start)]
    there = values[~np.isnan(values)]
    if not len(there):
        return None
    pairs = np.abs(values[season:] - values[:-season]) if len(values) > season else np.zeros(0)
    pairs = pairs[~np.isnan(pairs)]
    covariates = np.concatenate([series.past[: len(values)], series.known[: len(values)]], 1)
    means, deviations = [], []
    for column in covariates.T:
        known = column[~np.isnan(column)]
        means.append(float(known.mean()) if len(known) else 0.0)
        deviations.append(_deviation(known))
    return Scaling(
        float(there.mean()),
        _deviation(there),
        float(pairs.mean()) if len(pairs) else 0.0,
        tuple(means),
        tuple(deviations),
    )


def _deviation(values: np.ndarray) -> float:
    """Returns the standard deviation; 1 for values that are all the same up to rounding."""
    if not len(values):
        return 1.0
    found = float(values.std())
    return found if found > 1e-9 * max(1.0, abs(float(values.mean()))) else 1.0


class Windows:
    """All windows of some series, cut out of flat tensors when they are asked for.

    Args:
        series: With NaN where a value is missing.
        scalings: One for each series.
        calendar: (steps, features) of each series, for its steps and `horizon` further ones.
        window: Steps of a window.
        horizon: Steps that are predicted.
        gaps: What missing values are filled with.
        season: Steps of a season.
        level: What values are relative to.
    """

    def __init__(
        self,
        series: Sequence[Series],
        scalings: Sequence[Scaling],
        calendar: Sequence[np.ndarray],
        *,
        window: int,
        horizon: int,
        season: int,
        gaps: Gaps,
        level: Level,
    ) -> None:
        self.series = series
        self.window, self.horizon = window, horizon
        self._level = {"series": 0, "last": 1, "season": season}[level]
        values, before, last, seen, past, known = [], [], [], [], [], []
        offsets, total = [], 0
        for one, scaling, dates in zip(series, scalings, calendar, strict=True):
            scaled = (one.values - scaling.mean) / scaling.deviation
            n_past = one.past.shape[1]
            middle, width = np.array(scaling.covariate_mean), np.array(scaling.covariate_deviation)
            whole = filled(one.values, "error" if gaps == "error" else gaps)
            whole = (whole - scaling.mean) / scaling.deviation
            there = last_there(one.values)
            causal = whole if gaps == "zero" else scaled[there]
            values.append(np.pad(whole, (0, horizon)))
            before.append(np.pad(causal, (0, horizon), mode="edge"))
            last.append(np.pad(there, (0, horizon), mode="edge") + total)
            seen.append(np.pad(~np.isnan(one.values), (0, horizon)))
            past.append(np.pad(carried((one.past - middle[:n_past]) / width[:n_past]), ((0, horizon), (0, 0))))
            rows = len(one.values) + horizon
            further = np.full((rows, one.known.shape[1]), np.nan)
            further[: min(rows, len(one.known))] = one.known[:rows]
            further = carried((further - middle[n_past:]) / width[n_past:])
            known.append(np.concatenate([further, dates], 1))
            offsets.append(total)
            total += rows
        self._offsets = offsets
        self._values = torch.from_numpy(np.concatenate(values)).float()
        self._before = torch.from_numpy(np.concatenate(before)).float()
        self._last = torch.from_numpy(np.concatenate(last))
        self._seen = torch.from_numpy(np.concatenate(seen))
        self._past = torch.from_numpy(np.concatenate(past)).float()
        self._known = torch.from_numpy(np.concatenate(known)).float()
        self._center = torch.tensor([s.mean for s in scalings], dtype=torch.float64)
        self._spread = torch.tensor([s.deviation for s in scalings], dtype=torch.float64)
        self._seasonal = torch.tensor([s.seasonal_error for s in scalings]).float()
        self.num_features = 1 + self._past.shape[1] + 2 * self._known.shape[1]
        self.num_known = self._known.shape[1]

    def origins(self, split_span: tuple[int, int], stride: int) -> Tensor:
        """Returns the windows whose targets are all within a span: (windows, 2): series and origin.

        The origin is the step of the first target. The newest window of each series is always there; the others are
        whole strides before it. Windows are in the order of time, then of series.

        Args:
            split_span: The first step of targets, and the one after the last.
            stride: Steps from one origin to the next.
        """
        begin, end = split_span
        found = []
        for number, one in enumerate(self.series):
            first = max(begin, one.start + self.window)
            last = min(end, one.end) - self.horizon
            steps = np.arange(last, first - 1, -stride)[::-1]
            found.append(np.stack([np.full(len(steps), number), steps], 1))
        every = np.concatenate(found).astype(np.int64)
        return torch.from_numpy(every[np.lexsort((every[:, 0], every[:, 1]))])

    def ends(self, shortest: int) -> Tensor:
        """Returns the window that ends with each series of `shortest` steps or more: (windows, 2)."""
        found = [(i, one.end) for i, one in enumerate(self.series) if len(one.values) >= shortest]
        return torch.tensor(found, dtype=torch.int64).view(-1, 2)

    def cut(self, origins: Tensor, end: int | None = None) -> dict[str, Any]:
        """Returns a batch of windows, as `rk_tabular.series_fields.WindowsBatch` has it.

        No window sees what comes at its origin or later: a gap that is interpolated ends, for a window that ends within
        it, with the value before. Targets of a span see nothing of what comes after the span, for the same reason.
        Steps before the first one of a series are zeros.

        Args:
            origins: (windows, 2).
            end: The step after the span of the targets; None: there are no targets.
        """
        number = origins[:, 0]
        shift = torch.tensor([o - s.start for o, s in zip(self._offsets, self.series, strict=True)])[number]
        at = (origins[:, 1] + shift).unsqueeze(1)
        seen = at + torch.arange(-self.window, 0)
        first = torch.tensor(self._offsets)[number].unsqueeze(1)
        there, later = seen >= first, seen + self.horizon >= first
        seen = torch.maximum(seen, first)
        history = self._until(seen, at - 1)
        center, spread = self._center[number], self._spread[number]
        base = history[:, -self._level :].mean(1, keepdim=True) if self._level else torch.zeros(len(origins), 1)
        ahead = at + torch.arange(self.horizon - self.window, self.horizon)
        now = torch.cat([(history - base).unsqueeze(-1), self._past[seen], self._known[seen]], -1)
        known = self._known[torch.maximum(ahead, first)]
        batch: dict[str, Any] = {
            "inputs": torch.cat([now * there.unsqueeze(-1), known * later.unsqueeze(-1)], -1),
            "center": (center + spread * base[:, 0].double()).float(),
            "spread": spread.float(),
            "series_meta": [self.series[i].name for i in number.tolist()],
            "origin_meta": origins[:, 1].tolist(),
        }
        if not bool(there.all()):
            batch["mask"] = there
        if end is not None:
            ahead = at + torch.arange(self.horizon)
            limit = torch.tensor([min(end, s.end) for s in self.series])[number] + shift - 1
            batch["targets"] = self._until(ahead, limit.unsqueeze(1)) - base
            batch["observed"] = self._seen[ahead]
            batch["seasonal_error"] = self._seasonal[number]
        return batch

    def _until(self, rows: Tensor, limit: Tensor) -> Tensor:
        """Returns values at `rows` as they are known at the row `limit`, which is the newest that may be used."""
        newest = self._last[limit]
        return torch.where(rows > newest, self._before[torch.minimum(rows, limit)], self._values[rows])
