"""Small pieces of HTML for notebooks: tables and figures. All text is escaped, and nothing is fetched."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from rk.errors import printable

MAX_ROWS = 50
"""Rows of a table that are shown."""
_IMAGES = {".png": "image/png", ".svg": "image/svg+xml", ".jpg": "image/jpeg"}


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table; of a long one, the first rows and how many there are."""
    every = list(rows)
    head = "".join(f"<th style='text-align: left'>{_text(cell)}</th>" for cell in heads)
    body = "".join(
        "<tr>" + "".join(f"<td style='text-align: left'>{_text(cell)}</td>" for cell in row) + "</tr>"
        for row in every[:MAX_ROWS]
    )
    more = f"<p>{MAX_ROWS} of {len(every)} rows</p>" if len(every) > MAX_ROWS else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def paragraph(text: str) -> str:
    return f"<p>{_text(text)}</p>"


def image(path: Path) -> str:
    """Returns a figure, its bytes included; the path of a file that a browser does not draw, or that is gone."""
    kind = _IMAGES.get(path.suffix.lower())
    if kind is None or not path.is_file():
        return paragraph(str(path))
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    return f"<img alt='{escape(path.name)}' style='max-width: 100%' src='data:{kind};base64,{content}'>"


def _text(text: str) -> str:
    return escape(printable(text))


def display(shown: object) -> None:
    """Shows an object in a notebook as its last line would; elsewhere, prints it."""
    from rk.fit.notebook import in_notebook

    if in_notebook():
        sys.modules["IPython"].display.display(shown)
    else:
        print(shown)
