"""Text of others in a Markdown page: it stays text, and becomes neither HTML nor a link, an image or a heading."""

from __future__ import annotations

import re

from rk.errors import printable, printable_lines

_SPECIAL = re.compile(r"([\\`*_\[\]#|~])")


def plain(text: str) -> str:
    """Returns `text` as a paragraph: a line break in it is one space."""
    escaped = _SPECIAL.sub(r"\\\1", " ".join(printable_lines(text).split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def cell(text: str) -> str:
    """Returns `text` for a cell of a table; comparisons and underscores stay readable in the source."""
    shown = printable(text).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`\[\]|])", r"\\\1", shown)


def code(text: str) -> str:
    """Returns `text` as code within a line, between more backticks than it has in a row."""
    text = printable(text).replace("|", "\\|")
    marks = "`" * (1 + _longest(text))
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{marks}{space}{text}{space}{marks}"


def fenced(text: str, language: str = "") -> str:
    """Returns `text` as a block of code, whose fence is longer than any row of backticks in it."""
    marks = "`" * max(3, 1 + _longest(text))
    return f"{marks}{language}\n{printable_lines(text).rstrip()}\n{marks}"


def _longest(text: str) -> int:
    return max((len(row) for row in re.findall("`+", text)), default=0)
