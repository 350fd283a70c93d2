"""Columns of texts as numbers, dates and texts, with the first cell that does not fit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import polars as pl

Kind = Literal["number", "date", "text", "empty"]
"""What the cells of a column are."""
GAPS = ("", "?", "-", "--", ".", "na", "n/a", "n.a.", "#n/a", "nan", "null", "none", "nil", "missing", "unknown")
"""Words that stand for a missing value, in any case, where the other cells of a column are numbers or dates."""
MOSTLY = 0.9
"""Share of a column's cells that are numbers (or dates), from which the others are mistakes."""
_COMMA = r"^[+-]?(\d+|\d{1,3}([. '’\x{00A0}\x{202F}]\d{3})+)?(,\d+)?([eE][+-]?\d+)?$"
_THOUSANDS = r"^[+-]?\d{1,3}(,\d{3})+(\.\d*)?$"
_CODE = r"^0\d+$"
_DATE = re.compile(
    r"(?P<a>\d{1,4})(?P<mark>[-/.])(?P<b>\d{1,2})(?P=mark)(?P<c>\d{1,4})"
    r"(?P<time>(?P<t>[T ]+)\d{1,2}:\d{2}(?P<seconds>:\d{2}(?P<fraction>\.\d+)?)?(?P<zone>\s*(?:Z|[+-]\d{2}:?\d{2}))?)?"
)
_NAMED_DATES = ("%d-%b-%Y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y")


@dataclass(frozen=True)
class Fault:
    """The first cell that keeps a column from being numbers or dates.

    Attributes:
        row: Its row, from 0.
        cell: Its text.
        expected: What the other cells are.
        hint: How to fix it.
    """

    row: int
    cell: str
    expected: str
    hint: str | None = None


@dataclass(frozen=True)
class Parsed:
    """A column.

    Attributes:
        values: Int64, Float64 (finite), Datetime, or String (never empty); null where there is a gap.
        kind: What the values are. A column with a fault is text.
        gaps: The words that were read as gaps.
        decimal: The decimal mark of numbers.
        fault: Of a column that holds mostly numbers, or mostly dates, and something else.
        day_first: Of dates: whether the day comes before the month; None where the year comes first.
        note: What was guessed and might be wrong.
    """

    values: pl.Series
    kind: Kind
    gaps: tuple[str, ...] = ()
    decimal: str = "."
    fault: Fault | None = None
    day_first: bool | None = None
    note: str | None = None


def parse(cells: pl.Series, delimiter: str = ",", day_first: bool | None = None) -> Parsed:
    """Returns a column of texts as what it holds.

    Args:
        cells: Texts, null where there is none.
        delimiter: What separates cells: beside a comma, no number has a decimal comma unless it is quoted.
        day_first: Whether 01/02/2020 is in February; None: as the column's other dates show.
    """
    if (numbers := _plain(cells)) is not None:
        return Parsed(numbers, "number") if numbers.null_count() < len(numbers) else Parsed(cells, "empty")
    texts = cells.str.strip_chars()
    texts = texts.set(texts == "", None)
    if texts.null_count() == len(texts):
        return Parsed(texts, "empty")
    return _numbers(texts, delimiter) or _dates(texts, day_first) or Parsed(texts, "text")


def _plain(cells: pl.Series) -> pl.Series | None:
    """Returns numbers that are written as Python writes them, the usual case; None for other cells."""
    for kind in (pl.Int64, pl.Float64):
        found = cells.cast(kind, strict=False)
        if found.null_count() == cells.null_count():
            finite = kind == pl.Int64 or bool(found.is_finite().all())
            return found if finite and not _codes(cells) else None
    return None


def _codes(cells: pl.Series) -> bool:
    """Whether there are numbers such as 00123, which are names rather than amounts."""
    zeros = cells.str.starts_with("0") & (cells.str.len_bytes() > 1)
    return bool(zeros.any()) and bool(cells.filter(zeros).str.contains(_CODE).any())


def _gaps(odd: pl.Series) -> list[str]:
    """Returns the words among some cells that stand for a missing value."""
    return sorted(word for word in odd.unique().to_list() if word.lower() in GAPS)


def _numbers(texts: pl.Series, delimiter: str) -> Parsed | None:
    """Returns a column of numbers, or one that should be; None where it is something else."""
    values = texts.cast(pl.Float64, strict=False)
    odd = (values.is_null() & texts.is_not_null()) | values.is_nan().fill_null(False)
    words = _gaps(texts.filter(odd))
    gap = texts.is_in(words).fill_null(False) if words else pl.repeat(False, len(texts), eager=True)
    wrong = odd & ~gap
    count = len(texts) - texts.null_count() - int(gap.sum())
    if count == 0 or _codes(texts):
        return None
    decimal = "."
    if wrong.any():
        mark = _comma(texts.filter(~gap & texts.is_not_null()), texts.filter(wrong), delimiter)
        if mark == ",":
            plain = texts.str.replace_all(r"[. '’\x{00A0}\x{202F}]", "").str.replace(",", ".", literal=True)
            values, decimal = plain.cast(pl.Float64, strict=False), ","
        elif mark == ".":
            values = texts.str.replace_all(",", "", literal=True).cast(pl.Float64, strict=False)
        wrong = values.is_null() & texts.is_not_null() & ~gap
    wrong |= values.is_infinite().fill_null(False)
    good = count - int(wrong.sum())
    if good < max(1, MOSTLY * count):
        return None
    if wrong.any():
        row = wrong.arg_true()[0]
        return Parsed(texts, "text", tuple(words), decimal, Fault(row, texts[row], "a number"))
    values = values.set(gap, None) if words else values
    if decimal == ".":
        whole = texts.set(gap, None).str.replace_all(",", "", literal=True).cast(pl.Int64, strict=False)
        values = whole if whole.null_count() == values.null_count() else values
    return Parsed(values, "number", tuple(words), decimal)


def _comma(texts: pl.Series, wrong: pl.Series, delimiter: str) -> str | None:
    """Returns the decimal mark of numbers with commas; None where they are not numbers.

    "1,234" is a decimal comma in a file of ``;``, and a mark of thousands in quotes in one of ``,``.
    """
    thousands = float(wrong.str.contains(_THOUSANDS).mean() or 0)  # type: ignore[arg-type]  # the mean of truth values
    comma = float(wrong.str.contains(_COMMA).mean() or 0)  # type: ignore[arg-type]  # as above
    if max(thousands, comma) < MOSTLY:
        return None
    if thousands == 1 and (delimiter == "," or comma < 1 or texts.str.contains(r"\d\.\d").any()):
        return "."
    if bool((texts.str.contains(".", literal=True) & ~texts.str.contains(_COMMA)).any()):
        return "." if thousands >= comma else None
    return "," if comma >= thousands else "."


def _dates(texts: pl.Series, day_first: bool | None) -> Parsed | None:
    """Returns a column of dates, or one that should be; None where it is something else."""
    first = next((cell for cell in texts.drop_nulls().head(1000).to_list() if not is_gap(cell)), None)
    if first is None or not (formats := list(_formats(first))):
        return None
    failed = texts.filter(_as_dates(texts, formats[0][1]).is_null() & texts.is_not_null())
    words = tuple(_gaps(failed))
    rest = texts.set(texts.is_in(words).fill_null(False), None) if words else texts
    filled = len(rest) - rest.null_count()
    tried = [(order, _as_dates(rest, form)) for order, form in formats]
    counts = {order: len(found) - found.null_count() for order, found in tried}
    if max(counts.values()) < MOSTLY / 2 * filled:
        return None
    whole = [(order, found) for order, found in tried if counts[order] == filled]
    if len(whole) == 2 and day_first is None:
        same = "days and months are both 12 or less"
        return Parsed(whole[0][1], "date", words, day_first=True, note=f"{first} is read as day first: {same}")
    for order, found in whole:
        if order is None or order == day_first or (len(whole) == 1 and day_first is None):
            return Parsed(found, "date", words, day_first=order)
    by_order = dict(tried)
    order = day_first if day_first in by_order else max(counts, key=lambda o: counts[o])
    row = (by_order[order].is_null() & rest.is_not_null()).arg_true()[0]
    fault = Fault(row, texts[row], f"a date like {first}")
    if len(tried) == 2 and day_first is None and counts[True] + counts[False] > filled * MOSTLY:
        fault = _two_orders(rest, by_order, fault)
    elif counts[order] < MOSTLY * filled:
        return None
    return Parsed(texts, "text", words, fault=fault)


def _two_orders(rest: pl.Series, by_order: dict[bool | None, pl.Series], fault: Fault) -> Fault:
    """Returns the fault of a column some of whose dates can only be day first, and some only month first."""
    day = (by_order[False].is_null() & by_order[True].is_not_null()).arg_true()
    month = (by_order[True].is_null() & by_order[False].is_not_null()).arg_true()
    if not len(day) or not len(month):
        return fault
    early, late = sorted((day[0], month[0]))
    kind = "day" if early == day[0] else "month"
    expected = f"a date with the {kind} first, like {rest[early]} above"
    return Fault(late, rest[late], expected, "write all dates in one order, best as 2020-12-31")


def _formats(first: str) -> Iterator[tuple[bool | None, str]]:
    """Yields the formats that a date may have, with whether the day is first; None where no other order is possible."""
    match = _DATE.fullmatch(first)
    if match is None:
        if re.search(r"[A-Za-z]{3}", first) and re.search(r"\d{4}", first):
            yield from ((None, form) for form in _NAMED_DATES if _fits(first, form))
        return
    mark = match["mark"]
    time = ""
    if match["time"]:
        time = f"{match['t']}%H:%M" + (":%S" if match["seconds"] else "") + ("%.f" if match["fraction"] else "")
        time += "%z" if match["zone"] else ""
    if len(match["a"]) == 4:
        yield None, f"%Y{mark}%m{mark}%d{time}"
    elif len(match["c"]) in (2, 4):
        year = "%Y" if len(match["c"]) == 4 else "%y"
        yield True, f"%d{mark}%m{mark}{year}{time}"
        yield False, f"%m{mark}%d{mark}{year}{time}"


def _fits(cell: str, form: str) -> bool:
    return not _as_dates(pl.Series([cell]), form).has_nulls()


def _as_dates(texts: pl.Series, form: str) -> pl.Series:
    """Returns dates and times in UTC, without a zone; null where a text has another form."""
    if "%H" not in form:
        return texts.str.to_date(form, strict=False).cast(pl.Datetime("us"))
    if form.endswith("%z"):
        zoned = texts.str.replace(r"\s*Z$", "+00:00").str.replace(r"\s+([+-]\d{2}:?\d{2})$", "$1")
        return zoned.str.to_datetime(form, strict=False, time_unit="us").dt.replace_time_zone(None)
    return texts.str.to_datetime(form, strict=False, time_unit="us")


def as_text(cells: pl.Series) -> Parsed:
    """Returns a column as texts, whatever its cells are."""
    texts = cells.str.strip_chars()
    texts = texts.set(texts == "", None)
    return Parsed(texts, "text" if texts.null_count() < len(texts) else "empty")


def is_gap(cell: str) -> bool:
    """Whether a cell of numbers or dates stands for a missing value."""
    return cell.lower() in GAPS


def looks_like_date(cell: str) -> bool:
    """Whether a text is a date in numbers, such as 2020-12-31."""
    return _DATE.fullmatch(cell) is not None
