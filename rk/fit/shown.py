"""Which progress a run shows: a bar on a terminal and in a notebook, plain lines elsewhere, or nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable

from rk.fit.notebook import NotebookProgress, in_notebook
from rk.fit.progress import Numbers, Progress, Quiet, RichProgress, Silence
from rk.verbosity import is_quiet


def make_progress(
    title: str, total: int | None, is_main: bool = True, peek: Callable[[], Numbers] | None = None
) -> Progress:
    """Returns a bar on a terminal and in a notebook, else plain lines; nothing in any process but the main one.

    Args:
        title: The recipe's name.
        total: Steps in all; None where it is not known.
        is_main: Whether this process is the one that prints.
        peek: Returns the averages since the last line of the log.
    """
    if not is_main:
        return Silence(title, total)
    if is_quiet():
        return Quiet(title, total)
    if sys.stdout.isatty():
        from rich.console import Console

        return RichProgress(title, total, Console(), peek)
    if in_notebook():
        return NotebookProgress(title, total, peek)
    return Progress(title, total, peek)
