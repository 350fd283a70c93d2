"""Progress in a notebook: one bar that is redrawn in its place. Nothing but IPython is needed, which a notebook has."""

from __future__ import annotations

import sys
from collections.abc import Callable
from html import escape
from typing import Any

from rk.errors import printable
from rk.fit.progress import Numbers, Progress

REFRESH_SECONDS = 0.5
"""Seconds between two messages to the browser."""


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook. It imports nothing."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


class NotebookProgress(Progress):
    """A bar with the step, the newest numbers and the time; lines are printed below it.

    Args:
        title: The recipe's name.
        total: Steps in all; None where it is not known.
        peek: Returns the averages since the last line of the log.
    """

    def __init__(self, title: str, total: int | None, peek: Callable[[], Numbers] | None = None) -> None:
        super().__init__(title, total, peek)
        self.interval = REFRESH_SECONDS
        self._at = 0
        self._handle: Any = None  # IPython's handle of what is displayed

    def start(self, step: int) -> None:
        super().start(step)
        ipython = sys.modules["IPython"]
        self._html = ipython.display.HTML
        self._at = step
        self._handle = ipython.display.display(self._html(self._bar()), display_id=True)

    def step(self, step: int) -> None:
        self._at = step
        super().step(step)

    def stop(self) -> None:
        super().stop()
        if self._handle is not None:
            self._handle.update(self._html(self._bar()))
            self._handle = None

    def _draw(self, step: int) -> None:
        self._at = step
        self._latest()
        self._handle.update(self._html(self._bar()))

    def _bar(self) -> str:
        of = f"/{self.total}" if self.total else ""
        size = f"value='{self._at}' max='{self.total}'" if self.total else ""
        texts = (printable(self.title), f"step {self._at}{of}", self._numbers, self.times(self._at))
        shown = "  ".join(escape(text) for text in texts if text)
        return f"<div><progress {size} style='width: 20em'></progress> <code>{shown}</code></div>"
