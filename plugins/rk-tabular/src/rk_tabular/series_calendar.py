"""Calendar features: what is known of every date, past and future."""

from __future__ import annotations

from typing import Literal

import numpy as np

from rk_tabular.series_frequency import DAY, HOUR, Frequency

Cycle = Literal["hour", "weekday", "month"]
HARMONICS: dict[str, int] = {"hour": 2, "weekday": 3, "month": 1}
"""Sines and cosines of each cycle. With three, the seven days of a week are distinguished without any order."""


def usual_cycles(frequency: Frequency, train_steps: int) -> tuple[Cycle, ...]:
    """Returns the cycles that dates of a frequency have: those longer than a step.

    The month is left out where the training span is below two years: one year does not show what repeats.

    Args:
        frequency: Of the dates.
        train_steps: Steps of the training span.
    """
    found: list[Cycle] = []
    days = frequency.unit == "business" or (frequency.unit == "fixed" and frequency.count < 7 * DAY)
    if frequency.unit == "fixed" and frequency.count <= 12 * HOUR:
        found.append("hour")
    if days:
        found.append("weekday")
    if train_steps >= 2 * frequency.per_year and frequency.per_year > 1:
        found.append("month")
    return tuple(found)


def calendar_names(cycles: tuple[Cycle, ...]) -> tuple[str, ...]:
    """Returns the names of the features, in their order."""
    return tuple(f"{c} {kind} {k}" for c in cycles for k in range(1, HARMONICS[c] + 1) for kind in ("sin", "cos"))


def calendar_features(stamps: np.ndarray, cycles: tuple[Cycle, ...]) -> np.ndarray:
    """Returns sines and cosines of each cycle.

    Args:
        stamps: (n,), datetime64[us].
        cycles: Which ones.

    Returns:
        (n, features), float64, in the order of `calendar_names`.
    """
    columns = []
    for cycle in cycles:
        phase = 2 * np.pi * _phase(stamps, cycle)
        for k in range(1, HARMONICS[cycle] + 1):
            columns += [np.sin(k * phase), np.cos(k * phase)]
    return np.stack(columns, 1) if columns else np.zeros((len(stamps), 0))


def _phase(stamps: np.ndarray, cycle: Cycle) -> np.ndarray:
    """Returns where each date is in the cycle, from 0 to below 1."""
    at = stamps.astype("datetime64[us]").astype(np.int64)
    if cycle == "hour":
        return at % DAY / DAY
    if cycle == "weekday":
        return (at // DAY + 3) % 7 / 7  # 1970 began on a Thursday; Monday is 0
    return stamps.astype("datetime64[M]").astype(np.int64) % 12 / 12
