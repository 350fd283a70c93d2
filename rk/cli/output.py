"""Tables and JSON. rich is loaded when a table is printed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import click

from rk.jsontext import to_json
from rk.report.text import number as number


def print_json(value: Any) -> None:
    click.echo(to_json(value, indent=2, default=str))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """Prints rows under column heads; on anything but a terminal, lines are never cut."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=200)
    console.print(table)
