"""Tables and JSON. rich is loaded when a table is printed on a terminal.

A table fits the terminal, and no word in it is ever broken: names, run ids and keys can be copied. Where the columns do
not fit beside each other, each row is printed as a block of lines. Elsewhere than on a terminal, a row is one line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

from rk.errors import printable_lines
from rk.isolation import restore_for_json
from rk.jsontext import to_json
from rk.report.text import number as number
from rk.values import Plain

GAP = 2
"""Spaces between two columns."""
MIN_CUT = 16
"""Cells that a column of text keeps, at least, where it is cut."""
ELLIPSIS = "…"

Row = Sequence[Any]


def print_json(value: Plain) -> None:
    """Prints JSON, and gives standard output back that was kept for it; once in a command."""
    print_json_text(to_json(value, indent=2, default=str, ascii=only_ascii()))


def print_json_text(text: str) -> None:
    """Prints what is JSON already, as `print_json` does."""
    restore_for_json()
    click.echo(text, file=sys.stdout)


def only_ascii() -> bool:
    """Whether standard output takes no other characters."""
    return "utf" not in (getattr(sys.stdout, "encoding", None) or "utf-8").lower()


def echo(text: str, err: bool = False, nl: bool = True) -> None:
    """Prints text that a plugin, a recipe or a run may have written: nothing in it changes the terminal."""
    click.echo(printable_lines(text.replace("\r\n", "\n")), file=sys.stderr if err else sys.stdout, nl=nl)


def terminal_width() -> int | None:
    """Returns the columns of the terminal, or None where standard output is not a terminal."""
    if not sys.stdout.isatty():
        return None
    import shutil  # with all that packs archives

    return shutil.get_terminal_size().columns


def print_table(
    columns: Sequence[str], rows: Iterable[Row], *, cut: str | None = None, spare: Sequence[str] = ()
) -> None:
    """Prints rows under column heads.

    Args:
        columns: The heads.
        rows: One cell for each column.
        cut: The column that is cut where the terminal is too narrow; all others wrap between words.
        spare: Columns that are left out there, the first one first.
    """
    cells = [[printable_lines(str(cell)) for cell in row] for row in rows]
    echo(table_text(columns, cells, terminal_width(), cut, spare))


def print_prose(text: str, indent: int = 0) -> None:
    """Prints paragraphs; on a terminal, they are filled to its width, lists and indented lines each by itself.

    Args:
        text: Paragraphs with empty lines between them.
        indent: Columns before all lines of a paragraph but its first.
    """
    width = terminal_width()
    echo(text if width is None else filled(text, width, indent))


def filled(text: str, width: int, indent: int = 0) -> str:
    """Returns paragraphs with lines of at most `width`."""
    blocks = []
    for block in text.split("\n\n"):
        lines = block.splitlines()
        if not any(line.startswith((" ", "-", "*", "|")) for line in lines):
            lines = [" ".join(lines)]
        margins = [max(indent, len(line) - len(line.lstrip())) for line in lines]
        blocks.append("\n".join(p for line, m in zip(lines, margins, strict=True) for p in wrapped(line, width, m)))
    return "\n\n".join(blocks)


def table_text(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int | None,
    cut: str | None = None,
    spare: Sequence[str] = (),
) -> str:
    """Returns a table as text.

    Args:
        columns: The heads.
        rows: One text for each column.
        width: Columns of the terminal; None is any number, and one line for each row.
        cut: The column that is cut to fit.
        spare: Columns that may be left out, in this order.
    """
    heads = list(columns)
    if width is None:
        flat = [[" ".join(cell.split()) for cell in row] for row in (heads, *rows)]
        return plain_columns(flat)
    kept = list(range(len(heads)))
    for name in (None, *spare):
        kept = [i for i in kept if heads[i] != name]
        chosen = [heads[i] for i in kept]
        found = column_widths([chosen, *([row[i] for i in kept] for row in rows)], width, _index(chosen, cut))
        if found is not None:
            return _drawn(chosen, [[row[i] for i in kept] for row in rows], found, _index(chosen, cut))
    return _blocks(heads, rows, width)


def plain_columns(rows: Sequence[Sequence[str]]) -> str:
    """Returns rows as lines, their cells below each other."""
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(len(rows[0]))] if rows else []
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def column_widths(rows: Sequence[Sequence[str]], width: int, cut: int | None = None) -> list[int] | None:
    """Returns the width of each column so that all fit into `width` and no word is broken; None where they cannot.

    Args:
        rows: The cells, those of the head too.
        width: Cells that there are for all columns, with the gaps between them.
        cut: The column that may be cut: it needs no room for its words.
    """
    from rich.cells import cell_len

    numbers = range(len(rows[0]))
    cells = [[row[i] for row in rows] for i in numbers]
    least = [max((cell_len(word) for cell in column for word in cell.split()), default=0) for column in cells]
    wanted = [max((cell_len(line) for cell in column for line in cell.splitlines()), default=0) for column in cells]
    if cut is not None:
        least[cut] = min(MIN_CUT, wanted[cut])
    room = width - GAP * (len(rows[0]) - 1)
    if sum(least) > room:
        return None
    widths = list(least)
    spare = room - sum(widths)
    while spare and (open_ := [i for i in numbers if widths[i] < wanted[i]]):  # an equal share to each that wants more
        share = max(1, spare // len(open_))
        for i in open_:
            more = min(share, wanted[i] - widths[i], spare)
            widths[i] += more
            spare -= more
    return widths


def _index(names: Sequence[str], name: str | None) -> int | None:
    return names.index(name) if name in names else None


def _drawn(columns: Sequence[str], rows: Sequence[Sequence[str]], widths: list[int], cut: int | None) -> str:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0), header_style="")
    for i, (head, width) in enumerate(zip(columns, widths, strict=True)):
        table.add_column(Text(head), width=width, no_wrap=i == cut, overflow="ellipsis" if i == cut else "fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(highlight=False, color_system=None, width=sum(widths) + GAP * len(widths) + 1)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _blocks(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """Returns each row as a block: its first cell, then one line for each other cell that is not empty."""
    heads = [" ".join(head.split()) for head in columns]
    margin = max((len(head) for head in heads[1:]), default=0) + GAP + 2
    blocks = []
    for first, *cells in rows:
        lines = [first if first or not heads[0] else "-"]
        for head, cell in zip(heads[1:], cells, strict=True):
            if cell:
                lines += wrapped(f"  {head.ljust(margin - 2)}{' '.join(cell.split())}", width, margin)
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def wrapped(text: str, width: int, indent: int) -> list[str]:
    """Returns `text` as lines of at most `width` cells, all but the first indented; no word is broken."""
    import textwrap

    return textwrap.wrap(
        text,
        max(width, indent + 1),
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    ) or [""]
