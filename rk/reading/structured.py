"""JSON and JSON lines, within limits and with the place of each mistake."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from rk.errors import UserError, printable
from rk.reading.content import lines_of, read_text, size_limit, too_large

JSON_SHARE = 4
"""A JSON document may be this many times smaller than other files: it needs up to 24 times its size in memory."""
MAX_DEPTH = 100
"""Lists and objects inside one another in a JSON document."""
MAX_DIGITS = 300
"""Digits of a whole number in a JSON document; with more, it is beyond what a float holds."""
_HIGH, _LOW = r"\\u[dD][89abAB]..", r"\\u[dD][c-fC-F].."
_HALF = re.compile(rf"{_HIGH}(?!{_LOW})|(?<!{_HIGH}){_LOW}")
"""Half of a surrogate pair, as JSON writes it."""


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
        raise UserError(f"{printable(str(path))}:{line}: expected JSON lines, got {kind}", hint or accepted)
    for number, content in enumerate(lines_of(text), 1):
        if content.strip():
            yield number, parse_json(content, path, number, accepted)


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
        raise UserError(f"{where}: not JSON: {word} is not a JSON number", "write null, or a number")

    if len(text) > (limit := size_limit() // JSON_SHARE):
        raise too_large(place(0), limit, JSON_SHARE, "larger")
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
            where = place(found.start() if found else 0)
            message = f"{where}: {half} is half of a character (a surrogate without its other half)"
            raise UserError(message, "write the whole character, or both halves") from None
    return value


def _too_deep(place: str, accepted: str | None) -> UserError:
    message = f"{place}: nested too deeply: at most {MAX_DEPTH} lists and objects inside one another"
    return UserError(message, accepted)


def _depth(value: object) -> int:
    """Returns how deep lists and objects are nested."""
    depth, level = 0, [value]
    while level := [v for v in level if isinstance(v, list | dict)]:
        depth += 1
        level = [inner for v in level for inner in (v.values() if isinstance(v, dict) else v)]
    return depth
