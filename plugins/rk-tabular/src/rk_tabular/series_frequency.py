"""The frequency of dates: a grid of steps from which every date has a number, and every number a date."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rk import UserError
from rk_tabular.series_dates import MICROSECONDS, written

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR

Named = Literal["minutely", "hourly", "daily", "business-days", "weekly", "monthly", "quarterly", "yearly"]
_FIXED = {"minutely": 60 * SECOND, "hourly": HOUR, "daily": DAY, "weekly": 7 * DAY}
_MONTHLY = {"monthly": 1, "quarterly": 3, "yearly": 12}
_UNITS = (("day", DAY), ("hour", HOUR), ("minute", 60 * SECOND), ("second", SECOND))


@dataclass(frozen=True)
class Frequency:
    """A grid of dates: step 0 is `anchor`.

    Attributes:
        unit: Steps of a fixed length, Mondays to Fridays, or months of the calendar.
        count: Length of a step: microseconds, or months; 1 for business days.
        anchor: Microseconds since 1970 of step 0.
        day: Day of the month that dates have, as far as the month has it; 0 for steps of another unit.
    """

    unit: Literal["fixed", "business", "months"]
    count: int
    anchor: int
    day: int = 0

    @property
    def date_only(self) -> bool:
        """Whether a date without a time of day names a step."""
        return self.anchor % DAY == 0 and (self.unit != "fixed" or self.count % DAY == 0)

    @property
    def name(self) -> str:
        """What it is called: ``daily``, ``every 15 minutes``."""
        named = {count: name for name, count in (_MONTHLY if self.unit == "months" else _FIXED).items()}
        if self.unit == "business":
            return "business-days"
        if self.count in named:
            return named[self.count]
        if self.unit == "months":
            return f"every {self.count} months"
        unit, size = next(((u, s) for u, s in _UNITS if self.count % s == 0), ("microsecond", 1))
        many = self.count // size
        return f"every {unit}" if many == 1 else f"every {many} {unit}s"

    @property
    def noun(self) -> str:
        """What a step is called, as several: ``days``."""
        nouns = {"minutely": "minutes", "hourly": "hours", "daily": "days", "business-days": "business days"}
        nouns |= {"weekly": "weeks", "monthly": "months", "quarterly": "quarters", "yearly": "years"}
        return nouns.get(self.name, f"steps ({self.name})")

    @property
    def season(self) -> int:
        """The season that such data mostly has, in steps: a week of days, a day of hours, a year of months; else 1."""
        if self.unit == "business":
            return 5
        if self.unit == "months":
            return 12 // self.count if 12 % self.count == 0 else 1
        if self.count == 7 * DAY:
            return 52
        whole = 7 * DAY if self.count >= DAY else DAY if self.count >= 60 * SECOND else 60 * SECOND
        return whole // self.count if whole % self.count == 0 else 1

    @property
    def per_year(self) -> float:
        """Steps of a year."""
        if self.unit == "fixed":
            return 365.2425 * DAY / self.count
        return 260.9 if self.unit == "business" else 12 / self.count

    def steps(self, stamps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the number of each date, and whether it is on the grid.

        Args:
            stamps: (n,), datetime64[us].

        Returns:
            Two arrays of (n,): int64, and bool. Numbers of dates that are not on the grid mean nothing.
        """
        at = stamps.astype(MICROSECONDS).astype(np.int64)
        if self.unit == "fixed":
            return (at - self.anchor) // self.count, (at - self.anchor) % self.count == 0
        days, clock = at // DAY, at % DAY
        on_time = clock == self.anchor % DAY
        if self.unit == "business":
            dates = days.astype("datetime64[D]")
            first = np.datetime64(self.anchor // DAY, "D")
            return np.busday_count(first, dates).astype(np.int64), on_time & np.is_busday(dates)
        months = stamps.astype("datetime64[M]").astype(np.int64)
        since = months - _month(self.anchor)
        found = since // self.count
        return found, (since % self.count == 0) & (self.stamps(found) == stamps)

    def stamps(self, steps: np.ndarray) -> np.ndarray:
        """Returns the dates of step numbers, (n,), datetime64[us]."""
        steps = np.asarray(steps, np.int64)
        if self.unit == "fixed":
            return (self.anchor + steps * self.count).astype(MICROSECONDS)
        clock = self.anchor % DAY
        if self.unit == "business":
            days = np.busday_offset(np.datetime64(self.anchor // DAY, "D"), steps, roll="forward")
            return (days.astype(np.int64) * DAY + clock).astype(MICROSECONDS)
        months = (_month(self.anchor) + steps * self.count).astype("datetime64[M]")
        length = ((months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")).astype(np.int64)
        day = np.minimum(self.day, length) - 1
        days = months.astype("datetime64[D]").astype(np.int64) + day
        return (days * DAY + clock).astype(MICROSECONDS)

    def written(self, step: int, offset: str = "") -> str:
        """Returns the date of a step as text."""
        return written(self.stamps(np.array([step]))[0], self.date_only, offset)

    def plain(self) -> dict[str, Any]:
        """Returns what `Frequency(**plain)` takes, as plain values."""
        return {"unit": self.unit, "count": self.count, "anchor": self.anchor, "day": self.day}


def _month(at: int) -> int:
    return int(np.datetime64(at, "us").astype("datetime64[M]").astype(np.int64))


def detect_frequency(series: Sequence[np.ndarray], place: Callable[[np.datetime64], str]) -> Frequency:
    """Returns the frequency on whose grid all dates are, with the fewest gaps.

    Args:
        series: The dates of each series, sorted and without duplicates, datetime64[us].
        place: A date -> where it is, for messages.

    Raises:
        rk.UserError: When there are fewer than three dates, or they are not regular: on no grid is half of the
            dates there.
    """
    every = np.unique(np.concatenate(list(series)))
    if len(every) < 3:
        raise UserError(f"{place(every[0])}: expected at least 3 dates to find their frequency, got {len(every)}")
    held = sum(map(len, series))
    best, best_missing = None, held
    for candidate in _candidates(every):
        found = [candidate.steps(dates) for dates in series]
        if all(bool(on.all()) for _, on in found):
            missing = sum(int(steps[-1] - steps[0]) + 1 - len(steps) for steps, _ in found)
            if missing < best_missing:
                best, best_missing = candidate, missing
    if best is None:
        raise irregular(series, place)
    return best


def irregular(series: Sequence[np.ndarray], place: Callable[[np.datetime64], str]) -> UserError:
    """Returns the error of dates that are on no grid: it names the first one after an unusual step."""
    gaps = np.concatenate([np.diff(dates.astype(np.int64)) for dates in series if len(dates) > 1])
    lengths, counts = np.unique(gaps, return_counts=True)
    usual = int(lengths[counts.argmax()])
    for dates in series:
        odd = np.flatnonzero(np.diff(dates.astype(np.int64)) != usual)
        if len(odd):
            here, before = dates[odd[0] + 1], dates[odd[0]]
            return UserError(
                f"{place(here)}: the dates are not regular: {_length(here - before)} after the one before, "
                f"most are {_length(np.timedelta64(usual, 'us'))} apart",
                "data.frequency=daily (hourly, monthly, ...) names the steps, if gaps are to be filled",
            )
    return UserError("the dates are not regular")


def _length(gap: np.timedelta64) -> str:
    micro = int(gap.astype("timedelta64[us]").astype(np.int64))
    unit, size = next(((u, s) for u, s in _UNITS if micro % s == 0), ("microsecond", 1))
    many = micro // size
    return f"{many} {unit}" + ("" if many == 1 else "s")


def _candidates(every: np.ndarray) -> list[Frequency]:
    """Returns the grids that the dates may be on, the one preferred among equals first."""
    at = every.astype(np.int64)
    months = np.diff(every.astype("datetime64[M]").astype(np.int64))
    found = []
    if (months > 0).all():
        found.append(of_months(every, int(np.gcd.reduce(months))))
    found.append(Frequency("fixed", int(np.gcd.reduce(np.diff(at))), int(at[0])))
    days = (at // DAY).astype("datetime64[D]")
    if len(np.unique(at % DAY)) == 1 and np.is_busday(days).all():
        found.append(Frequency("business", 1, int(at[0])))
    return found


def of_months(every: np.ndarray, count: int) -> Frequency:
    """Returns the grid of months through the first of some dates; the largest day of any is the day of all."""
    days = (every.astype("datetime64[D]") - every.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64) + 1
    following = (every.astype("datetime64[D]") + 1).astype("datetime64[M]")
    ends = bool((following > every.astype("datetime64[M]")).all())
    return Frequency("months", count, int(every[0].astype(np.int64)), 31 if ends else int(days.max()))


def stated_frequency(name: Named, every: np.ndarray) -> Frequency:
    """Returns the frequency of that name through the first of some dates.

    Args:
        name: As in recipes.
        every: All dates, sorted, datetime64[us].
    """
    if name == "business-days":
        return Frequency("business", 1, int(every[0].astype(np.int64)))
    if name in _MONTHLY:
        return of_months(every, _MONTHLY[name])
    return Frequency("fixed", _FIXED[name], int(every[0].astype(np.int64)))
