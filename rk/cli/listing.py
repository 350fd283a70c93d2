"""Options and messages of all listings: `--limit`, `--plugin`, `--no-pager`, and the message of an empty one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

import click

from rk.cli.complete import complete_plugin
from rk.cli.messages import note
from rk.cli.output import echo

PAGER_VARIABLE = "RK_PAGER"
"""The pager of rk's listings; it goes before `PAGER`. Empty: none."""

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

limit_option: Decorator = click.option(
    "--limit", metavar="N", type=click.IntRange(min=1), help="The most rows to list."
)
plugin_option: Decorator = click.option(
    "--plugin", metavar="NAME", shell_complete=complete_plugin, help="Only those of this plugin."
)
pager_option: Decorator = click.option("--no-pager", is_flag=True, help="Print long listings at once.")


def show_paged(text: str, no_pager: bool = False) -> None:
    """Prints a listing, through the user's pager where it is longer than the terminal."""
    pager = os.environ.get(PAGER_VARIABLE, os.environ.get("PAGER"))
    lines = text.count("\n") + 1
    if no_pager or pager == "" or not sys.stdout.isatty():
        echo(text)
        return
    import shutil  # with all that packs archives

    if lines < shutil.get_terminal_size().lines:
        echo(text)
        return
    if pager is not None:
        os.environ["PAGER"] = pager  # the one that click starts
    os.environ.setdefault("LESS", "-FRX")
    click.echo_via_pager(f"{text}\n")


def say_empty(what: str, there_are: str, choices: Iterable[str]) -> None:
    """Prints that a listing is empty, and what could be listed.

    Args:
        what: What was looked for: ``no recipe on the data 'tabular'``.
        there_are: What introduces the choices.
        choices: What there is.
    """
    from rk.errors import suggest

    hint = suggest("", choices, there_are)
    note(f"{what}\n  hint: {hint}" if hint else what)


def grouped(groups: dict[str, list[list[str]]], width: int, cut_to: int = 24) -> str:
    """Returns a listing with a heading for each group and one line for each row.

    Args:
        groups: Heading -> rows of (name, ..., text). All rows have as many cells.
        width: Columns of the terminal. Names are whole; the text is cut, and the cells between are left out, where
            there is no room.
        cut_to: Columns that the text keeps before the cells between are left out.
    """
    return "\n\n".join(
        "\n".join([cut(heading, width), *_group(rows, width, cut_to)]) for heading, rows in groups.items()
    )


def _group(rows: list[list[str]], width: int, cut_to: int) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    kept = list(range(len(widths)))
    while len(kept) > 2 and 2 + sum(widths[i] + 2 for i in kept[:-1]) + cut_to > width:
        kept.pop(-2)
    lines = []
    for row in rows:
        cells = "".join(row[i].ljust(widths[i] + 2) for i in kept[:-1])
        name = f"  {row[0]}"
        lines.append(name if len(name) > width - 3 else cut(f"  {cells}{row[-1]}".rstrip(), width))
    return lines


def cut(text: str, width: int) -> str:
    """Returns `text` in at most `width` columns, with an ellipsis where it was longer."""
    return text if len(text) <= width else f"{text[: width - 1].rstrip()}…"
