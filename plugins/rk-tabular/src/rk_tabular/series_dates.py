"""Dates in a column: many notations, day or month first, with or without a time zone."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo

import numpy as np

from rk import UserError
from rk.reading import describe

MICROSECONDS = "datetime64[us]"
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
ACCEPTED = (
    "a date such as 2024-01-31, 31/01/2024, 31 Jan 2024, 2024-01, 2024-Q1 or 2024, with or without 14:30:00+01:00"
)
YEARS = (1600, 9000)
"""Years of dates: those of other numbers with four digits are none."""

_CLOCK = r"(?:(?:T|\s+)(?P<h>\d{1,2}):(?P<m>\d{2})(?::(?P<s>\d{2})(?:[.,](?P<f>\d{1,6})\d*)?)?\s*(?P<half>[ap]\.?m\.?)?"
_CLOCK += r"\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?)?"
_MONTH = r"(?P<name>[A-Za-z]{3,9})\.?"
_NOTATIONS = [
    re.compile(pattern + _CLOCK, re.IGNORECASE)
    for pattern in (
        r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})",
        r"(?P<a>\d{1,2})(?P<mark>[-/.])(?P<b>\d{1,2})(?P=mark)(?P<year>\d{4})",
        r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})",
        rf"(?P<day>\d{{1,2}})[-/ ]{_MONTH},?[-/ ](?P<year>\d{{4}})",
        rf"{_MONTH}\s(?P<day>\d{{1,2}}),?\s(?P<year>\d{{4}})",
        r"(?P<year>\d{4})[-/](?P<month>\d{1,2})",
        r"(?P<month>\d{1,2})[-/](?P<year>\d{4})",
        rf"{_MONTH}[-/ ](?P<year>\d{{4}})",
        r"(?P<year>\d{4})[- ]?Q(?P<quarter>[1-4])",
        r"(?P<year>\d{4})",
    )
]
_SHORT_YEAR = re.compile(r"\d{1,2}[-/.]\d{1,2}[-/.]\d{2}(?!\d)")


class AmbiguousDates(UserError):
    """Each date of the column could have the day or the month first."""


@dataclass(frozen=True)
class Dates:
    """The dates of a column.

    Attributes:
        stamps: (rows,), datetime64[us]: what a clock on the wall showed; UTC where the offset from it changes and
            times are finer than days.
        day_first: Which way dates such as 01/02/2024 were read; None where there are none.
        offset: What is written behind a time in answers: ``"+00:00"`` where the column has offsets, else nothing.
    """

    stamps: np.ndarray
    day_first: bool | None = None
    offset: str = ""


@dataclass(frozen=True)
class _Parts:
    """A text as a date: of ``a/b/year`` it is not known yet which of the two is the day."""

    year: int
    month: int
    day: int
    clock: timedelta
    zone: timezone | None
    either: bool

    def at(self, day_first: bool) -> datetime:
        month, day = (self.day, self.month) if self.either and day_first else (self.month, self.day)
        return datetime(self.year, month, day) + self.clock


def parse_dates(
    cells: Sequence[str | None],
    place: Callable[[int], str],
    day_first: bool | None = None,
    zone: tzinfo | None = None,
) -> Dates:
    """Returns the dates of a column of text.

    Args:
        cells: A text for each row; None and blank cells are refused.
        place: Row, from 0 -> where it is, ``rows.csv:12: column 'day'``.
        day_first: How 01/02/2024 is read: True for 1 February; None: as the other dates of the column show.
        zone: The time zone of times without an offset; times with one are converted to it.

    Raises:
        AmbiguousDates: When nothing in the column shows whether days or months come first.
        rk.UserError: When a cell is not a date, or only some cells have an offset.
    """
    known: dict[str, _Parts] = {}
    firsts: dict[str, int] = {}
    for row, cell in enumerate(cells):
        text = (cell or "").strip()
        if text not in known:
            known[text] = _parts(text, place, row)
            firsts[text] = row
    order = _day_first(known, firsts, place, day_first)
    found: dict[str, datetime] = {}
    for text, parts in known.items():
        try:
            found[text] = parts.at(bool(order))
        except ValueError as error:
            shown = " with the day first" if order and parts.either else ""
            raise UserError(
                f"{place(firsts[text])}: {describe(text)} is not a date{shown}: {error}", ACCEPTED
            ) from None
    texts = [(cell or "").strip() for cell in cells]
    offsets = {parts.zone for parts in known.values()}
    if None in offsets and len(offsets) > 1:
        without = min(firsts[text] for text, parts in known.items() if parts.zone is None)
        raise UserError(f"{place(without)}: {describe(texts[without])} has no offset from UTC, other rows have one")
    stamps, offset = _on_one_clock(texts, known, found, zone, place)
    return Dates(stamps, order, offset)


def _parts(text: str, place: Callable[[int], str], row: int) -> _Parts:
    match = next((m for notation in _NOTATIONS if (m := notation.fullmatch(text))), None)
    if match is None:
        shown = describe(text) if text else "an empty cell"
        hint = "write the year with four digits" if _SHORT_YEAR.match(text) else ACCEPTED
        raise UserError(f"{place(row)}: expected a date, got {shown}", hint)
    found = match.groupdict()
    either = found.get("a") is not None
    month = int(found["a"] if either else found.get("month") or 1)
    if found.get("quarter"):
        month = 3 * int(found["quarter"]) - 2
    if name := found.get("name"):
        if name[:3].lower() not in MONTHS:
            raise UserError(f"{place(row)}: {name!r} is not a month in English", ACCEPTED)
        month = MONTHS.index(name[:3].lower()) + 1
    day = int(found["b"] if either else found.get("day") or 1)
    hours = int(found["h"] or 0)
    if half := found["half"]:
        hours = hours % 12 + (12 if half.lower().startswith("p") else 0)
    clock = timedelta(
        hours=hours,
        minutes=int(found["m"] or 0),
        seconds=int(found["s"] or 0),
        microseconds=int((found["f"] or "0").ljust(6, "0")),
    )
    if not YEARS[0] <= int(found["year"]) <= YEARS[1]:
        raise UserError(f"{place(row)}: {describe(text)}: the year must be from {YEARS[0]} to {YEARS[1]}", ACCEPTED)
    if hours > 24 or int(found["m"] or 0) > 59 or int(found["s"] or 0) > 59 or clock > timedelta(days=1):
        raise UserError(f"{place(row)}: {describe(text)} has no such time of day", ACCEPTED)
    return _Parts(int(found["year"]), month, day, clock, _offset(found["zone"]), either)


def _offset(text: str | None) -> timezone | None:
    if text is None:
        return None
    if text[0] not in "+-":
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    away = timedelta(hours=int(digits[:2]) % 24, minutes=int(digits[2:]) % 60)
    return timezone(-away if text[0] == "-" else away)


def _day_first(
    known: dict[str, _Parts], firsts: dict[str, int], place: Callable[[int], str], stated: bool | None
) -> bool | None:
    """Returns whether days come first in ``a/b/year``; None where no date is written so."""
    either = [text for text, parts in known.items() if parts.either]
    if not either or stated is not None:
        return stated if either else None
    days = next((text for text in either if known[text].month > 12), None)
    months = next((text for text in either if known[text].day > 12), None)
    if days is not None and months is not None:
        raise UserError(
            f"{place(firsts[months])}: {describe(months)} has the month first, "
            f"but {describe(days)} ({place(firsts[days])}) has the day first",
            "write all dates the same way, such as 2024-01-31",
        )
    if days is not None or months is not None:
        return days is not None
    unclear = next((text for text in either if known[text].month != known[text].day), None)
    if unclear is None:
        return True
    raise AmbiguousDates(
        f"{place(firsts[unclear])}: {describe(unclear)}: does the day come first, or the month? No date shows it",
        "data.day_first=true or data.day_first=false",
    )


def _on_one_clock(
    texts: list[str],
    known: dict[str, _Parts],
    found: dict[str, datetime],
    zone: tzinfo | None,
    place: Callable[[int], str],
) -> tuple[np.ndarray, str]:
    """Returns the stamps on one clock, and what is written behind times."""
    offsets = {parts.zone for parts in known.values()}
    if offsets == {None}:
        if zone is None:
            return np.array([found[text] for text in texts], MICROSECONDS), ""
        return _localised(texts, found, zone, place), "+00:00"
    daily = len({stamp.time() for stamp in found.values()}) == 1
    if daily and zone is None:  # midnight here is another hour of UTC in summer: days are those of the wall
        return np.array([found[text] for text in texts], MICROSECONDS), ""
    utc = {t: stamp.replace(tzinfo=known[t].zone).astimezone(UTC) for t, stamp in found.items()}
    if zone is not None:
        local = {t: stamp.astimezone(zone).replace(tzinfo=None) for t, stamp in utc.items()}
        if len({stamp.time() for stamp in local.values()}) == 1:
            return np.array([local[text] for text in texts], MICROSECONDS), ""
    return np.array([utc[text].replace(tzinfo=None) for text in texts], MICROSECONDS), "+00:00"


def _localised(texts: list[str], found: dict[str, datetime], zone: tzinfo, place: Callable[[int], str]) -> np.ndarray:
    """Returns the UTC of local times. Of an hour that comes twice, the second occurrence in the file is the later.

    Days are kept as they are: each has one date, however long it lasts.
    """
    if len({stamp.time() for stamp in found.values()}) == 1:
        return np.array([found[text] for text in texts], MICROSECONDS)
    stamps, before = [], datetime.min.replace(tzinfo=UTC)
    for row, text in enumerate(texts):
        stamp = found[text].replace(tzinfo=zone)
        utc = stamp.astimezone(UTC)
        if utc.astimezone(zone).replace(tzinfo=None) != found[text]:
            raise UserError(f"{place(row)}: {describe(text)} does not exist in {zone}: clocks were put forward")
        later = stamp.replace(fold=1).astimezone(UTC)
        if later != utc and before >= utc and before < later:
            utc = later
        before = utc
        stamps.append(utc.replace(tzinfo=None))
    return np.array(stamps, MICROSECONDS)


def written(stamp: np.datetime64, date_only: bool, offset: str = "") -> str:
    """Returns a stamp as ISO 8601: ``2024-01-31``, or ``2024-01-31T14:30:00+00:00``."""
    moment = stamp.astype(MICROSECONDS).item()
    if date_only:
        return date(moment.year, moment.month, moment.day).isoformat()
    return moment.isoformat() + offset
