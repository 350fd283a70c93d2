"""Ctrl-C and SIGTERM end a run after its step, with a checkpoint; a second Ctrl-C ends it at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from rk.errors import ExitCode


class StopSignal:
    """Watches for SIGINT and SIGTERM while it is entered; `caught` is the exit code of the one that came."""

    def __init__(self) -> None:
        self.caught: ExitCode | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._catch)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self.caught is not None:
            raise KeyboardInterrupt
        self.caught = ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.TERMINATED
