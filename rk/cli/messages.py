"""Errors, hints, warnings and notes on standard error: wrapped to the terminal, in colour where it has any."""

from __future__ import annotations

import contextlib
import os
import re
import sys

import click

from rk.verbosity import is_quiet

COLORS = {"error": "red", "warning": "yellow", "hint": "cyan"}
_LABEL = re.compile(r"^( *)(error|warning|hint):")


def show(text: str) -> None:
    """Prints a message, whatever the verbosity."""
    with contextlib.suppress(OSError):  # its reader may have gone
        sys.stdout.flush()
    if (progress := sys.modules.get("rk.fit.progress")) is not None:
        progress.end_loading()
    if not sys.stderr.isatty():
        click.echo(text, err=True)
        return
    import shutil  # with all that packs archives

    width = shutil.get_terminal_size().columns
    colored = not os.environ.get("NO_COLOR")
    click.echo(laid_out(text, width, colored), err=True, color=colored)


def note(text: str) -> None:
    """Prints what a script does not need to know, unless the command is quiet."""
    if not is_quiet():
        show(text)


def laid_out(text: str, width: int, colored: bool) -> str:
    """Returns `text` with lines of at most `width`, broken between words and indented below their label.

    Args:
        text: Lines such as ``error: ...`` and ``  hint: ...``.
        width: Columns of the terminal.
        colored: Whether labels are coloured.
    """
    from rk.cli.output import wrapped

    lines = []
    for line in text.splitlines():
        label = _LABEL.match(line)
        indent = len(label.group()) + 1 if label else len(line) - len(line.lstrip()) + 2
        pieces = [line] if len(line) <= width else wrapped(line, width, indent)
        if label and colored:
            styled = click.style(f"{label[2]}:", fg=COLORS[label[2]], bold=label[2] == "error")
            pieces[0] = f"{label[1]}{styled}{pieces[0][label.end() :]}"
        lines += pieces
    return "\n".join(lines)
