"""Ctrl-C, SIGTERM and SIGHUP end a run after its step, with a checkpoint; a second signal ends it at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TypeAlias

from rk.errors import ExitCode

_NAMES = {
    "SIGINT": ExitCode.INTERRUPTED,
    "SIGTERM": ExitCode.TERMINATED,
    "SIGHUP": ExitCode.HUNG_UP,  # the terminal or the connection is gone; not on every system
}
_CODES = {one: _NAMES[one.name] for one in signal.Signals if one.name in _NAMES}

Handler: TypeAlias = Callable[[int, FrameType | None], object] | int | signal.Handlers | None
"""What `signal.signal` takes and returns."""


class Stopped(KeyboardInterrupt):
    """A signal that ends the run at once.

    Attributes:
        exit_code: The exit code of that signal.
    """

    def __init__(self, exit_code: ExitCode, text: str = "") -> None:
        super().__init__(*([text] if text else []))
        self.exit_code = exit_code


class StoppedInside(Stopped):
    """A signal has ended a run that was trained within another one.

    Attributes:
        name: What the outer run calls it.
    """

    def __init__(self, exit_code: ExitCode, name: str) -> None:
        super().__init__(exit_code, f"stopped within {name}")
        self.name = name


class StopSignal:
    """Watches for signals while it is entered.

    Attributes:
        caught: The exit code of the signal that came, if one did.
        waits: Whether a first signal is only noted, because there is a step to end and a checkpoint to write. Until
            then it raises `Stopped`.
    """

    def __init__(self) -> None:
        self.caught: ExitCode | None = None
        self.waits = False
        self._before: dict[int, Handler] = {}

    @contextlib.contextmanager
    def entered(self) -> Iterator[StopSignal]:
        """Watches for the block, if it is not watching already."""
        if self._before:
            yield self
        else:
            with self:
                yield self

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            for number in _CODES:
                if signal.getsignal(number) != signal.SIG_IGN:  # as `nohup` sets it
                    self._before[number] = signal.signal(number, self._catch)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self.caught is not None or not self.waits:
            raise Stopped(self.caught or _CODES[signal.Signals(number)])
        self.caught = _CODES[signal.Signals(number)]
