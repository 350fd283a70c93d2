"""Progress of a run: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from rk.errors import printable, printable_lines
from rk.verbosity import is_quiet

if TYPE_CHECKING:  # only for a terminal
    from rich.console import Console, RenderableType

REFRESH_SECONDS = 0.1
PLAIN_SECONDS = 10.0
PEEK_SECONDS = 2.0
"""Seconds between new numbers of a bar: reading them waits for the device."""
LOADING = "loading ..."
_CLEAR_LINE = "\r\x1b[K"

Numbers = Mapping[str, float | str]


def show(numbers: Numbers, limit: int = 6) -> str:
    """Returns the numbers in one line."""
    return "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in list(numbers.items())[:limit])


def clock(seconds: float) -> str:
    """Returns a time as ``0:07``, ``12:30`` or ``1:02:03``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


# -- before the first step: torch takes seconds to import ----------------------------------------------------------


class _Loading:
    shown = False


def start_loading() -> None:
    """Shows on a terminal that the command has begun; the next printed line replaces it."""
    if sys.stderr.isatty() and not is_quiet() and not _Loading.shown:
        sys.stderr.write(LOADING)
        sys.stderr.flush()
        _Loading.shown = True


def end_loading() -> None:
    """Clears what `start_loading` has written, if it is there."""
    if _Loading.shown:
        sys.stderr.write(_CLEAR_LINE)
        sys.stderr.flush()
        _Loading.shown = False


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Shows on a terminal what is being loaded, as long as it takes."""
    start_loading()
    try:
        yield
    finally:
        end_loading()


# -- while many files are answered ---------------------------------------------------------------------------------


class Counter:
    """One line on a terminal's standard error: how many of many files are done. Nothing elsewhere.

    Args:
        what: What is counted: ``files``.
        total: How many there are.
    """

    def __init__(self, what: str, total: int) -> None:
        self.what = what
        self.total = total
        self._shows = sys.stderr.isatty() and not is_quiet()
        self._started, self._due, self._shown = time.perf_counter(), 0.0, False

    def __enter__(self) -> Counter:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._shown:
            sys.stderr.write(_CLEAR_LINE)
            sys.stderr.flush()

    def show(self, done: int, answers: int) -> None:
        """Shows how far it is, at most ten times a second, once it has taken a second."""
        now = time.perf_counter()
        if not self._shows or now < max(self._due, self._started + 1):
            return
        self._due, passed = now + REFRESH_SECONDS, now - self._started
        parts = [f"{done}/{self.total} {self.what}", f"{answers} answers", f"{clock(passed)} elapsed"]
        if 0 < done < self.total:
            parts.append(f"{clock(passed / done * (self.total - done))} left")
        sys.stderr.write(f"{_CLEAR_LINE}{', '.join(parts)}")
        sys.stderr.flush()
        self._shown = True


# -- while the steps are done --------------------------------------------------------------------------------------


class Progress:
    """Plain lines: one after the first step, one at each validation, and one every few seconds.

    Args:
        title: The recipe's name.
        total: Steps in all; None where it is not known.
        peek: Returns the averages of what was logged since the last line of the log.
    """

    def __init__(self, title: str, total: int | None, peek: Callable[[], Numbers] | None = None) -> None:
        self.title = title
        self.total = total
        self.interval = PLAIN_SECONDS
        self.peek = peek or dict
        self._numbers = ""
        self._asked_at = 0.0

    def start(self, step: int) -> None:
        end_loading()
        self._started, self._first = time.perf_counter(), step
        self._due = 0.0

    def step(self, step: int) -> None:
        """Called after every step; does nothing until something is due."""
        if time.perf_counter() >= self._due:
            self._due = time.perf_counter() + self.interval
            self._draw(step)

    def numbers(self, step: int, numbers: Numbers) -> None:
        """Takes the newest averages."""
        self._numbers = printable(show(numbers))
        self._asked_at = time.perf_counter()

    def line(self, text: str) -> None:
        """Prints a permanent line."""
        print(printable_lines(text), flush=True)

    def stop(self) -> None:
        end_loading()

    def rate(self, step: int) -> float:
        """Returns the steps a second since the start."""
        return (step - self._first) / max(1e-9, time.perf_counter() - self._started)

    def times(self, step: int) -> str:
        """Returns the time that has passed, and where the end is known, the time that is left."""
        passed = f"{clock(time.perf_counter() - self._started)} elapsed"
        if not self.total or step <= self._first:
            return passed
        return f"{passed}, {clock((self.total - step) / self.rate(step))} left"

    def _latest(self) -> str:
        """Returns the averages up to now."""
        if found := self.peek():
            self.numbers(0, found)
        return self._numbers

    def _draw(self, step: int) -> None:
        of = f"/{self.total}" if self.total else ""
        parts = (f"step {step}{of}", self._latest(), f"{self.rate(step):.3g} steps/s", self.times(step))
        self.line("  ".join(part for part in parts if part))


class RichProgress(Progress):
    """A bar that is redrawn at most ten times a second, by the training thread itself; its numbers are below it."""

    def __init__(
        self, title: str, total: int | None, console: Console, peek: Callable[[], Numbers] | None = None
    ) -> None:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar
        from rich.table import Column
        from rich.text import Text

        super().__init__(title, total, peek)
        self.interval = REFRESH_SECONDS
        progress = self

        class WithNumbers(Bar):
            """The bar in one line, the numbers in the next one."""

            def get_renderables(self) -> Iterator[RenderableType]:
                yield self.make_tasks_table(self.tasks)
                yield Text(progress._numbers, no_wrap=True, overflow="ellipsis")

        def text(field: str) -> TextColumn:
            column = Column(no_wrap=True, overflow="ellipsis")
            return TextColumn(f"{{task.fields[{field}]}}", markup=False, table_column=column)

        narrow = console.width < 100
        self._bar = WithNumbers(
            text("title"),
            *([] if console.width < 80 else [BarColumn(bar_width=10 if narrow else 30)]),
            text("count"),
            text("rate"),
            text("times"),
            console=console,
            auto_refresh=False,
            transient=True,
        )
        shown = title.rpartition("/")[2] if narrow else title
        room = max(8, console.width - 60)
        if narrow and len(shown) > room:
            shown = f"{shown[: room - 1]}…"
        self._task = self._bar.add_task(
            printable(title), total=total, title=printable(shown), count="", rate="", times=""
        )

    def start(self, step: int) -> None:
        super().start(step)
        self._bar.start()
        self._show(step)

    def line(self, text: str) -> None:
        self._bar.console.print(printable_lines(text), highlight=False, markup=False)

    def stop(self) -> None:
        super().stop()
        self._bar.stop()

    def _draw(self, step: int) -> None:
        if time.perf_counter() - self._asked_at > PEEK_SECONDS:
            self._latest()
        self._show(step)

    def _show(self, step: int) -> None:
        self._bar.update(
            self._task,
            completed=step,
            count=f"{step}/{self.total}" if self.total else f"{step} steps",
            rate=f"{self.rate(step):.3g} steps/s",
            times=self.times(step),
            refresh=True,
        )


class Silence(Progress):
    """The progress of the other processes of a run: nothing is shown."""

    def step(self, step: int) -> None:
        pass

    def line(self, text: str) -> None:
        pass


class Quiet(Silence):
    """The progress of `rk --quiet`: why a run has ended before its end, and how to resume it."""

    def line(self, text: str) -> None:
        if text.startswith("stopped"):
            print(printable_lines(text), flush=True)
