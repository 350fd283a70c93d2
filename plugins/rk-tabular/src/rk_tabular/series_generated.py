"""The data `seasonal-series`: generated series, of which the best possible error is known."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, Gt

from rk.sampling import generator
from rk_tabular.series_data import Loaded, SeriesData
from rk_tabular.series_frequency import DAY, Frequency
from rk_tabular.series_panel import Series
from rk_tabular.series_table import Columns

FIRST = np.datetime64("2020-01-01", "us")


class SeasonalSeries(SeriesData):
    """Generated days: a level, a trend, a week and a year, and noise.

    ``y[t] = level + trend t + week[t mod 7] + 2 sin(2 pi t / 365.25 + phase) + noise e[t]`` with normal e. Level,
    trend, week and phase are drawn for each series. The noise is independent, so no forecast has a root mean squared
    error below `noise`, nor a mean absolute error below 0.798 `noise` (the square root of 2 / pi).

    Args:
        steps: Days of each series.
        num_series: Series.
        noise: Standard deviation of the noise.

    Examples:
        data: {name: seasonal-series, noise: 0.5}
    """

    _columns = Columns("date", ("value",), ("series",))

    def __init__(
        self,
        *,
        steps: Annotated[int, Ge(30)] = 1461,
        num_series: Annotated[int, Ge(1)] = 4,
        noise: Annotated[float, Gt(0)] = 1.0,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.steps, self.num_series, self.noise = steps, num_series, noise

    def _load(self) -> Loaded:
        frequency = Frequency("fixed", DAY, int(FIRST.astype(np.int64)))
        t = np.arange(self.steps)
        series = []
        for number in range(self.num_series):
            random = generator("seasonal-series", self.seed, number)
            level, trend, phase = torch.randn(3, generator=random, dtype=torch.float64).tolist()
            week = 2 * torch.randn(7, generator=random, dtype=torch.float64).numpy()
            year = 2 * np.sin(2 * np.pi * t / 365.25 + 6.3 * phase)
            noise = torch.randn(self.steps, generator=random, dtype=torch.float64).numpy()
            values = 20 + 5 * level + 0.003 * trend * t + week[t % 7] + year + self.noise * noise
            empty = np.zeros((self.steps, 0))
            series.append(Series(f"series {number + 1}", 0, values, empty, empty))
        return Loaded(series, frequency, "", "seasonal-series")
