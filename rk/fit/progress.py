"""What a person sees while a run goes on: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

REFRESH_SECONDS = 0.1
PLAIN_SECONDS = 10.0


def show(numbers: Mapping[str, Any], limit: int = 6) -> str:
    """Returns the numbers in one line."""
    return "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in list(numbers.items())[:limit])


class Progress:
    """Plain lines: one at each validation, and one every few seconds."""

    def __init__(self, title: str, total: int | None) -> None:
        self.title = title
        self.total = total
        self.interval = PLAIN_SECONDS
        self._numbers = ""

    def start(self, step: int) -> None:
        self._started, self._first = time.perf_counter(), step
        self._due = self._started + self.interval

    def step(self, step: int) -> None:
        """Called after every step; does nothing until something is due."""
        if time.perf_counter() >= self._due:
            self._due = time.perf_counter() + self.interval
            self._draw(step)

    def numbers(self, step: int, numbers: Mapping[str, Any]) -> None:
        """Takes the newest averages."""
        self._numbers = show(numbers)

    def line(self, text: str) -> None:
        """Says something that stays."""
        print(text, flush=True)

    def stop(self) -> None:
        pass

    def _draw(self, step: int) -> None:
        speed = (step - self._first) / max(1e-9, time.perf_counter() - self._started)
        of = f"/{self.total}" if self.total else ""
        self.line(f"step {step}{of}  {self._numbers}  {speed:.3g} steps/s")


class RichProgress(Progress):
    """A bar that is redrawn at most ten times a second, by the training thread itself."""

    def __init__(self, title: str, total: int | None, console: Any) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        super().__init__(title, total)
        self.interval = REFRESH_SECONDS
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[numbers]}"),
            console=console,
            auto_refresh=False,
            transient=True,
        )
        self._task = self._bar.add_task(title, total=total, numbers="")

    def start(self, step: int) -> None:
        super().start(step)
        self._bar.start()
        self._bar.update(self._task, completed=step)

    def line(self, text: str) -> None:
        self._bar.console.print(text, highlight=False, markup=False)

    def stop(self) -> None:
        self._bar.stop()

    def _draw(self, step: int) -> None:
        self._bar.update(self._task, completed=step, numbers=self._numbers, refresh=True)


class Silence(Progress):
    """What the other processes of a run show: nothing."""

    def step(self, step: int) -> None:
        pass

    def line(self, text: str) -> None:
        pass


def make_progress(title: str, total: int | None, is_main: bool = True) -> Progress:
    """Returns a bar when standard output is a terminal, else plain lines; nothing in any process but the main one."""
    if not is_main:
        return Silence(title, total)
    if sys.stdout.isatty():
        from rich.console import Console

        return RichProgress(title, total, Console())
    return Progress(title, total)
