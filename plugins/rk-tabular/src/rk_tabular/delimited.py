"""The cells of a delimited file (CSV, TSV) as texts, with the line of each row.

polars splits the cells. What it does not report, the lines of rows and rows of other lengths, is found beforehand from
the positions of quotes, line ends and delimiters. A file whose quotes do not follow RFC 4180 goes through
`rk.reading.rows_of`, cell by cell.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from rk import UserError
from rk.errors import printable
from rk.reading import describe, rows_of, unequal

DELIMITERS = ";\t,|"
"""What may separate cells; the first wins where several fit equally well."""
ROWS_LOOKED_AT = 100
_NEWLINE, _QUOTE = 10, 34
_PIECE = 1 << 20
Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Cells:
    """The cells of a delimited file.

    Attributes:
        table: Columns of texts, ``column_1`` and so on; null where a cell is empty. The first row may be one of names.
        lines: (rows,) The line on which each row begins, from 1.
        delimiter: What separates cells.
    """

    table: pl.DataFrame
    lines: Positions
    delimiter: str


def read_cells(text: str, path: Path, accepted: str) -> Cells:
    """Returns the cells of a delimited text. Blank lines are left out.

    Args:
        text: What `rk.reading.read_text` returned.
        path: The file that it is from.
        accepted: What the file should be, as a hint.

    Raises:
        rk.UserError: When it is empty, a quote is not closed, or rows have unequal lengths.
    """
    delimiter = delimiter_of(text)
    if not text.strip(f" \t\n{delimiter}"):
        raise UserError(f"{printable(str(path))}: the file is empty", accepted)
    found = _by_polars(text.encode(), delimiter, path)
    return _by_rows(text, delimiter, path, accepted) if found is None else found


def delimiter_of(text: str) -> str:
    """Returns what separates the cells: the mark that the first hundred lines have most alike, else a comma."""
    unquoted = re.sub(r'"[^"]*"', "", text[:200_000])
    lines = [line for line in unquoted.split("\n")[:ROWS_LOOKED_AT] if line.strip()]
    if len(lines) > 2 and len(unquoted) >= 200_000 - 1000:
        lines = lines[:-1]  # the last line may be cut short
    best, mark = (0.0, 0), ","
    for candidate in DELIMITERS:
        counts = [line.count(candidate) for line in lines]
        first = counts[0] if counts else 0
        if first:
            alike = sum(count == first for count in counts) / len(counts)
            if ((alike, first) > best and alike > 0.5) or best == (0.0, 0):
                best, mark = (alike, first), candidate
    return mark


def _by_polars(content: bytes, delimiter: str, path: Path) -> Cells | None:
    """Returns the cells as polars splits them; None where its rows might not be those of RFC 4180."""
    codes = np.frombuffer(content, np.uint8)
    ends, marks, quotes = _positions(codes, (_NEWLINE, ord(delimiter), _QUOTE))
    first_lines = np.arange(1, len(ends) + 2)
    if len(quotes):
        if not _well_quoted(codes, quotes, ord(delimiter)):
            return None
        outside = np.searchsorted(quotes, ends) % 2 == 0
        first_lines = np.concatenate([[1], np.flatnonzero(outside) + 2])
        ends = ends[outside]
    starts = np.concatenate([[0], ends + 1])
    ends = np.concatenate([ends, [len(codes)]])
    counts = np.diff(np.searchsorted(marks, np.concatenate([starts, [len(codes)]])))
    if len(quotes):
        opening, closing = quotes[::2], quotes[1::2]
        quoted = np.searchsorted(marks, closing) - np.searchsorted(marks, opening)
        row = np.searchsorted(starts, opening, "right") - 1
        counts = counts - np.bincount(row, quoted, len(starts)).astype(np.int64)
    filled = _not_blank(content, starts, ends, counts, delimiter)
    kept = np.flatnonzero(filled)
    if not len(kept):
        return None
    wrong = kept[counts[kept] != counts[kept[0]]]
    if len(wrong):
        raise _ragged(path, int(first_lines[wrong[0]]), int(counts[kept[0]]) + 1, int(counts[wrong[0]]) + 1, delimiter)
    first, last = kept[0], kept[-1]
    if len(kept) == last - first + 1:
        filled_content = content[starts[first] : ends[last]]
    else:
        filled_content = b"\n".join([content[starts[row] : ends[row]] for row in kept])
    try:
        table = pl.read_csv(
            io.BytesIO(filled_content),
            has_header=False,
            infer_schema=False,
            separator=delimiter,
            quote_char='"' if len(quotes) else None,
        )
    except pl.exceptions.PolarsError:
        return None
    table.columns = _names(table.width)
    return Cells(table, first_lines[kept], delimiter) if table.height == len(kept) else None


def _positions(codes: NDArray[np.uint8], values: tuple[int, ...]) -> list[Positions]:
    """Returns where each of some bytes stands; piece by piece, so that what is compared stays in the cache."""
    found: list[list[Positions]] = [[] for _ in values]
    for start in range(0, len(codes), _PIECE):
        piece = codes[start : start + _PIECE]
        for places, value in zip(found, values, strict=True):
            places.append(np.flatnonzero(piece == value) + start)
    return [np.concatenate(places) for places in found]


def _well_quoted(codes: NDArray[np.uint8], quotes: Positions, delimiter: int) -> bool:
    """Whether quotes begin and end cells, come in pairs, and are written twice within a cell."""
    if len(quotes) % 2:
        return False
    opening, closing = quotes[::2], quotes[1::2]
    borders = np.zeros(256, bool)
    borders[[_NEWLINE, _QUOTE, delimiter]] = True
    before, after = codes[np.maximum(opening - 1, 0)], codes[np.minimum(closing + 1, len(codes) - 1)]
    begins, ends = borders[before] | (opening == 0), borders[after] | (closing == len(codes) - 1)
    if not (begins.all() and ends.all()):
        return False
    # A quote before an opening one closes the text before it: the two are one quote, within a cell.
    twice = (before == _QUOTE) & (opening > 0)
    return bool((closing[:-1] + 1 == opening[1:])[twice[1:]].all()) and not bool(twice[:1].any())


def _not_blank(content: bytes, starts: Positions, ends: Positions, counts: Positions, delimiter: str) -> Any:
    """Returns (rows,): whether a row has a cell that is not blank. Cells of white space in a whole row are not seen."""
    filled = ends - starts > counts  # more characters than delimiters: something is between them
    spaces = f" \t\n{delimiter}".encode()
    width = -1
    for row in np.flatnonzero(filled):
        if content[starts[row] : ends[row]].strip(spaces):
            width = counts[row]
            break
        filled[row] = False
    for row in np.flatnonzero(filled & (counts != width)):
        filled[row] = bool(content[starts[row] : ends[row]].strip(spaces))
    return filled


def _by_rows(text: str, delimiter: str, path: Path, accepted: str) -> Cells:
    """Returns the cells as Python's reader splits them, which takes quotes within unquoted cells as they are."""
    rows: list[list[str | None]] = []
    lines: list[int] = []
    for line, row in rows_of(text, path, accepted, delimiter):
        if rows and len(row) != len(rows[0]):
            raise _ragged(path, line, len(rows[0]), len(row), delimiter)
        rows.append([cell or None for cell in row])
        lines.append(line)
    if not rows:
        raise UserError(f"{printable(str(path))}: the file is empty", accepted)
    names = _names(len(rows[0]))
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    return Cells(pl.DataFrame(columns, dict.fromkeys(names, pl.String)), np.array(lines), delimiter)


def _names(width: int) -> list[str]:
    return [f"column_{i + 1}" for i in range(width)]


def _ragged(path: Path, line: int, expected: int, found: int, delimiter: str) -> UserError:
    hint = f"cells are separated by {describe(delimiter)}; a cell that holds one must be in double quotes"
    return unequal(path, line, expected, found, hint)
