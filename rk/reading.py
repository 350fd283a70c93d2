"""A user's own text files: plain text, tables (CSV, TSV), JSON and JSON lines, each also inside a gzip file.

Every reader of such files goes through this module. So limits, encodings, line ends and messages are the same
everywhere: ``rows.csv:12: column 'x': expected a number, found 'abc'``. All functions raise `rk.UserError` for
whatever may be wrong with a file, and nothing else.

Lines end at ``\\n``, ``\\r\\n`` or ``\\r``, and nowhere else: U+2028 and U+0085 are characters like any other.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import math
import os
import re
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from rk.errors import UserError, nearest, printable

LIMIT_VARIABLE = "RK_MAX_FILE_MB"
DEFAULT_LIMIT_MB = 256
MB = 1_000_000
JSON_SHARE = 4
"""A JSON document may be this many times smaller than other files: it needs up to 24 times its size in memory."""
MAX_DEPTH = 100
"""Lists and objects inside one another in a JSON document."""
MAX_DIGITS = 300
"""Digits of a whole number in a JSON document; with more, it is beyond what a float holds."""
SHOWN = 60
"""Characters of a cell that a message shows."""

_BYTE_ORDER_MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_HIGH, _LOW = r"\\u[dD][89abAB]..", r"\\u[dD][c-fC-F].."
_HALF = re.compile(rf"{_HIGH}(?!{_LOW})|(?<!{_HIGH}){_LOW}")
"""Half of a surrogate pair, as JSON writes it."""
_GZIP = b"\x1f\x8b"
_MAGIC = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file"),
    (b"%PDF", "a PDF file"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"\x93NUMPY", "a NumPy file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (_GZIP, "a gzip file inside a gzip file"),
)


# -- bytes -------------------------------------------------------------------------------------------------------------


def size_limit() -> int:
    """Returns the most bytes of one file that are read: `RK_MAX_FILE_MB`, else 256 MB.

    Raises:
        UserError: When the variable is not a positive number.
    """
    text = os.environ.get(LIMIT_VARIABLE) or str(DEFAULT_LIMIT_MB)
    try:
        megabytes = float(text)
    except ValueError:
        megabytes = math.nan
    if not 0 < megabytes < 1e9:
        raise UserError(f"{LIMIT_VARIABLE}: expected a number of megabytes, found {text!r}", f"{LIMIT_VARIABLE}=1024")
    return round(megabytes * MB)


def read_bytes(path: Path, accepted: str | None = None, *, share: int = 1) -> bytes:
    """Returns the content of a file; of a gzip file, what is inside.

    Args:
        path: The file.
        accepted: What the file should be, as a hint.
        share: The file may be this many times smaller than `size_limit`.

    Raises:
        UserError: When it is not there, cannot be read, is too large, or is a damaged gzip file.
    """
    limit = size_limit() // share
    name = printable(str(path))
    try:
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            raise UserError(f"{name} is a directory", accepted)
        if not stat.S_ISREG(found.st_mode):  # a pipe would wait for ever, a device never ends
            raise UserError(f"{name} is not a regular file", accepted)
        if found.st_size > limit:
            raise _too_large(name, limit, share, f"{found.st_size / MB:.0f} MB")
        with open(path, "rb") as file:
            content = file.read(limit + 1)
    except FileNotFoundError:
        raise UserError(f"{name}: No such file", _neighbour(Path(path)) or accepted) from None
    except (OSError, ValueError) as error:  # a ValueError: a null character in the path
        raise UserError(f"{name}: {getattr(error, 'strerror', None) or error}", accepted) from None
    if content.startswith(_GZIP):
        content = unpacked(content, name, limit, share)
    elif str(path).lower().endswith(".gz"):
        raise UserError(f"{name} is not a gzip file, though its name says so", "remove .gz from its name")
    if len(content) > limit:
        raise _too_large(name, limit, share, "larger")
    return content


def unpacked(content: bytes, name: str, limit: int, share: int = 1) -> bytes:
    """Returns what is inside a gzip file.

    Args:
        content: The gzip file.
        name: What it is called in messages.
        limit: Most bytes that are unpacked.
        share: As in `read_bytes`.

    Raises:
        UserError: When it is damaged, cut short, or holds more than `limit` bytes.
    """
    hint = "copy or download it again; gzip -t FILE checks it"
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            inside = file.read(limit + 1)
    except EOFError:
        raise UserError(f"{name}: the gzip file is damaged: it is cut short", hint) from None
    except (OSError, zlib.error) as error:
        raise UserError(f"{name}: the gzip file is damaged: {error}", hint) from None
    if len(inside) > limit:
        raise _too_large(name, limit, share, "larger when it is unpacked")
    return inside


def _too_large(name: str, limit: int, share: int, what: str) -> UserError:
    needed = limit * share // MB * 2
    message = f"{name}: the file is too large: at most {limit / MB:g} MB are read, and it is {what}"
    return UserError(message, f"to read more, set {LIMIT_VARIABLE}={max(1, needed)} or higher")


def _neighbour(path: Path) -> str | None:
    """Returns a hint: the file beside `path` whose name is nearest to it."""
    try:
        names = [entry.name for entry, _ in zip(os.scandir(path.parent), range(1000), strict=False)]
    except (OSError, ValueError):
        return None
    close = nearest(path.name, names)
    return f"did you mean {printable(str(path.parent / close))}?" if close else None


# -- text --------------------------------------------------------------------------------------------------------------


def read_text(path: Path, accepted: str | None = None, *, share: int = 1) -> str:
    """Returns the text of a file in UTF-8, or in UTF-16 or UTF-32 with a byte order mark.

    Args:
        path: The file.
        accepted: What the file should be, as a hint.
        share: As in `read_bytes`.

    Returns:
        The text without a byte order mark, its lines ended by ``\\n``.

    Raises:
        UserError: When the file cannot be read, or is not such a text.
    """
    content = read_bytes(path, accepted, share=share)
    name = printable(str(path))
    for magic, kind in _MAGIC:
        if content.startswith(magic):
            raise UserError(f"{name} is not a text file: it looks like {kind}", accepted)
    encoding = next((found for mark, found in _BYTE_ORDER_MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise _not_decoded(name, content, encoding, error, accepted) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        half = text[:1000].count("\0") * 3 > len(text[:1000])
        hint = "it looks like UTF-16 without a byte order mark; save it as UTF-8" if half else accepted
        raise UserError(f"{name}:{line}: not a text file: it holds a null character", hint)
    if text.startswith("version https://git-lfs.github.com/"):
        raise UserError(f"{name} is a pointer of Git LFS, not the file itself", "fetch the file: git lfs pull")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _not_decoded(
    name: str, content: bytes, encoding: str, error: UnicodeDecodeError, accepted: str | None
) -> UserError:
    if not encoding.startswith("utf-8"):
        return UserError(f"{name} is not a text file: it begins like {encoding.upper()}, and goes on otherwise", accepted)
    if re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]", content[:10_000]):
        return UserError(f"{name} is not a text file", accepted)
    before = error.object[: error.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    line, byte = before.count(b"\n") + 1, error.object[error.start]
    return UserError(
        f"{name}:{line}: not a text file in UTF-8: found the byte 0x{byte:02x}",
        "it may be Latin-1 or Windows-1252; convert it: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW",
    )


def lines_of(text: str, *, keep_ends: bool = False) -> Iterator[str]:
    """Yields the lines of a text from `read_text`.

    Args:
        text: Its lines end at ``\\n`` alone.
        keep_ends: Whether the lines keep their ``\\n``.
    """
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield text[start : end + keep_ends]
        start = end + 1


# -- JSON --------------------------------------------------------------------------------------------------------------


def read_json(path: Path, accepted: str | None = None) -> Any:
    """Returns the value of a JSON file.

    Args:
        path: The file.
        accepted: What the file should be, as a hint.

    Raises:
        UserError: When the file cannot be read, or `parse_json` cannot take it.
    """
    return parse_json(read_text(path, accepted, share=JSON_SHARE), path, accepted=accepted)


def read_json_lines(path: Path, accepted: str | None = None) -> Iterator[tuple[int, Any]]:
    """Yields the value of each line of a file of JSON lines, with the line's number from 1; blank lines are left out.

    Args:
        path: The file.
        accepted: What a line should be, as a hint.

    Raises:
        UserError: When the file cannot be read, or a line is not JSON.
    """
    text = read_text(path, accepted)
    other = _other_kind(text)
    if other is not None:
        line = next(i for i, line in enumerate(lines_of(text), 1) if line.strip())
        kind, hint = other
        raise UserError(f"{printable(str(path))}:{line}: expected JSON lines, found {kind}", hint or accepted)
    for number, line in enumerate(lines_of(text), 1):
        if line.strip():
            yield number, parse_json(line, path, number, accepted)


def _other_kind(text: str) -> tuple[str, str | None] | None:
    """Returns what a file is that is not JSON lines, and how to change it; None for JSON lines, or what is unknown."""
    start = text.lstrip()[:2000]
    first = start.split("\n", 1)[0].strip()
    if start.startswith("["):
        return "one JSON list", "write each entry on a line of its own: jq -c '.[]' FILE > NEW"
    if first == "{":
        return "JSON over several lines", "write each object on one line: jq -c . FILE > NEW"
    if start.startswith("<"):
        return "HTML or XML", None
    if first and first[0] not in '{"' and re.search(r"[,;\t]", first):
        return "what looks like a table (CSV)", None
    return None


def parse_json(text: str, path: Path | str, line: int | None = None, accepted: str | None = None) -> Any:
    """Returns the value of a JSON document.

    Args:
        text: The document.
        path: The file that it is from.
        line: The line of the file that it is, from 1; None: it is the whole file.
        accepted: What the document should be, as a hint.

    Raises:
        UserError: When it is not JSON (NaN and Infinity are not), is nested more than 100 deep, holds a whole number of
            more than 300 digits, or half of a surrogate pair.
    """
    name = printable(str(path))

    def place(position: int) -> str:
        return f"{name}:{(line or 1) + text.count(chr(10), 0, max(0, position))}"

    def whole(digits: str) -> int:
        if len(digits) > MAX_DIGITS:
            count = len(digits.lstrip("-"))
            raise UserError(f"{place(text.find(digits))}: a number of {count} digits; at most {MAX_DIGITS} are read")
        return int(digits)

    def constant(word: str) -> NoReturn:
        found = re.search(rf"(?<![\w\"]){re.escape(word)}(?![\w\"])", text)
        where = place(found.start() if found else 0)
        raise UserError(f"{where}: not JSON: {word} is no number in JSON", "write null, or a number")

    if len(text) > (limit := size_limit() // JSON_SHARE):
        raise _too_large(place(0), limit, JSON_SHARE, "larger")
    try:
        value = json.loads(text, parse_int=whole, parse_constant=constant)
    except json.JSONDecodeError as error:
        column = f" (column {error.colno})"
        where, end = (f"{name}:{error.lineno}:{error.colno}", "") if line is None else (place(0), column)
        raise UserError(f"{where}: not JSON: {error.msg}{end}", accepted) from None
    except RecursionError:
        raise _too_deep(place(0), accepted) from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise _too_deep(place(0), accepted)
    if "\\ud" in text or "\\uD" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            half = f"\\u{ord(error.object[error.start]):04x}"
            found = _HALF.search(text)
            message = f"{place(found.start() if found else 0)}: {half} is half of a character (a surrogate without its other half)"
            raise UserError(message, "write the whole character, or both halves") from None
    return value


def _too_deep(place: str, accepted: str | None) -> UserError:
    message = f"{place}: nested too deeply: at most {MAX_DEPTH} lists and objects inside one another"
    return UserError(message, accepted)


def _depth(value: Any) -> int:
    """Returns how many lists and objects lie inside one another."""
    depth, level = 0, [value]
    while level := [v for v in level if isinstance(v, list | dict)]:
        depth += 1
        level = [inner for v in level for inner in (v.values() if isinstance(v, dict) else v)]
    return depth


# -- tables ------------------------------------------------------------------------------------------------------------


def read_rows(path: Path, accepted: str | None = None, delimiters: str = ";\t,") -> Iterator[tuple[int, list[str]]]:
    """Yields the rows of a table (CSV, TSV) that are not blank, each with the number of its first line.

    Args:
        path: The file.
        accepted: What the file should be, as a hint.
        delimiters: What may separate cells: the first of these that the first row has, else the last of these.

    Raises:
        UserError: When the file cannot be read, or a quote is not closed.
    """
    yield from rows_of(read_text(path, accepted), path, accepted, delimiters)


def rows_of(
    text: str, path: Path | str, accepted: str | None = None, delimiters: str = ";\t,"
) -> Iterator[tuple[int, list[str]]]:
    """Yields the rows of a table as `read_rows` does, from a text that has been read.

    Args:
        text: The table, its lines ended by ``\\n``.
        path: The file that it is from.
        accepted: What the file should be, as a hint.
        delimiters: As for `read_rows`.

    Raises:
        UserError: When a quote is not closed, or a cell has more than 131072 characters.
    """
    name = printable(str(path))
    first = re.sub(r'"[^"\n]*"', "", text.lstrip("\n ")[:100_000].split("\n", 1)[0])
    delimiter = next((mark for mark in delimiters if mark in first), delimiters[-1])
    reader = csv.reader(lines_of(text, keep_ends=True), delimiter=delimiter, skipinitialspace=True, strict=True)
    line = 1
    try:
        for row in reader:
            if any(cell and not cell.isspace() for cell in row):
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        hint = f"close the quote, or write a quote inside of a cell twice; {accepted}" if accepted else None
        raise UserError(f"{name}:{line}: {_what_is_wrong(str(error))}", hint) from None


def _what_is_wrong(reason: str) -> str:
    if "field larger" in reason:
        return f"a cell has more than {csv.field_size_limit()} characters: a quote may be left open"
    if "unexpected end" in reason:
        return "a quote is opened and never closed"
    if "expected after" in reason:
        return "a closing quote is followed by more text"
    return reason


def column_place(path: Path | str, line: int, column: int, names: tuple[str, ...] | None = None) -> str:
    """Returns the place of a cell: ``rows.csv:12: column 'x'``, or ``column 3`` where columns have no names.

    Args:
        path: The file.
        line: From 1.
        column: From 0.
        names: Of the columns.
    """
    shown = repr(names[column]) if names is not None and column < len(names) else str(column + 1)
    return f"{printable(str(path))}:{line}: column {shown}"


def is_number(cell: Any) -> bool:
    """Whether a cell of a table, or a value of a JSON document, is a finite number."""
    return math.isfinite(as_number(cell))


def as_number(cell: Any) -> float:
    """Returns the number in a cell; NaN for anything but a finite number."""
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        return math.nan
    try:
        value = float(cell)
    except (ValueError, OverflowError):
        return math.nan
    return value if math.isfinite(value) and not (isinstance(cell, str) and "_" in cell) else math.nan


def number(cell: Any, place: str) -> float:
    """Returns the number in a cell of a table, or in a value of a JSON document.

    Args:
        cell: The text, or the value.
        place: Where it is: ``rows.csv:12: column 'x'``.

    Raises:
        UserError: When it is anything but a finite number.
    """
    value = as_number(cell)
    if math.isfinite(value):
        return value
    raise not_a_number(cell, place)


def not_a_number(cell: Any, place: str, hint: str | None = None) -> UserError:
    """Returns the error of a cell that should be a finite number.

    Args:
        cell: The text, or the value.
        place: Where it is.
        hint: How to mend it, where the cell itself does not say.
    """
    if isinstance(cell, str) and not cell.strip():
        return UserError(f"{place}: expected a number, found an empty cell", hint or "fill it in, or leave the row out")
    try:
        infinite = not isinstance(cell, bool) and isinstance(cell, str | int | float) and not math.isfinite(float(cell))
    except OverflowError:
        infinite = True
    except ValueError:
        infinite = False
    expected = "a finite number" if infinite else "a number"
    if isinstance(cell, str) and re.fullmatch(r"\s*[+-]?\d+,\d+\s*", cell):
        hint = f"write a decimal point: {cell.strip().replace(',', '.')}"
    return UserError(f"{place}: expected {expected}, found {describe(cell)}", hint)


def describe(value: Any) -> str:
    """Returns a cell or a JSON value as a message shows it: one line of at most 60 characters."""
    if isinstance(value, str):
        return repr(value if len(value) <= SHOWN else value[:SHOWN] + "...")
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    text = str(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."
