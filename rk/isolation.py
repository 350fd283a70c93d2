"""Third parties' code, run so that it can spoil neither the output of a command nor the other plugins.

What it prints goes to standard error, whatever it raises belongs to it alone, and Ctrl-C or a long wait names it.
Every command that loads plugins passes through here: nothing is imported that Python has not loaded already.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal  # `signal` wraps its numbers in enums, which takes longer than loading forty plugins

PATIENCE = 10.0
"""Seconds after which a message names the code that a command waits for."""
_STDOUT, _STDERR = 1, 2


class Interrupted(KeyboardInterrupt):
    """The user pressed Ctrl-C; the message names what ran."""


class Diversion:
    """Sends what is written to standard output to standard error: `print`, streams kept by loggers, `os.write`.

    Args:
        silent: Drops both standard output and standard error instead.
    """

    def __init__(self, silent: bool = False) -> None:
        self.silent = silent
        self._kept: dict[int, int] = {}

    def __enter__(self) -> Diversion:
        self._streams = sys.stdout, sys.stderr
        flush(*self._streams)
        if self.silent:
            target = os.open(os.devnull, os.O_WRONLY)
            self._redirect(target, _STDOUT, _STDERR)
            os.close(target)
            self._devnull = open(os.devnull, "w")
            sys.stdout = sys.stderr = self._devnull
        else:
            self._redirect(_STDERR, _STDOUT)
            sys.stdout = sys.stderr
        return self

    def __exit__(self, *exc: object) -> None:
        flush(sys.stdout, sys.stderr, sys.__stdout__)  # what code wrote to a stream that it found elsewhere
        sys.stdout, sys.stderr = self._streams
        for number, copy in self._kept.items():
            os.dup2(copy, number)
            os.close(copy)
        self._kept = {}
        if self.silent:
            self._devnull.close()

    def _redirect(self, target: int, *numbers: int) -> None:
        for number in numbers:
            with contextlib.suppress(OSError):  # a stream that is closed has nothing to be sent elsewhere
                copy = os.dup(number)
                try:
                    os.dup2(target, number)
                except OSError:
                    os.close(copy)
                else:
                    self._kept[number] = copy


def flush(*streams: Any) -> None:
    """Writes out what streams hold back; does nothing for None and for what is full or closed."""
    for stream in streams:
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()


_for_json: list[Diversion] = []


def divert_for_json() -> None:
    """Keeps standard output for the JSON of this command, until `restore_for_json`."""
    if not _for_json:
        _for_json.append(Diversion().__enter__())


def restore_for_json() -> None:
    """Gives standard output back; does nothing where it was not diverted."""
    while _for_json:
        _for_json.pop().__exit__()


class Isolation(Diversion):
    """Calls third parties' code, one piece at a time::

        with Isolation() as isolation:
            module, error = isolation.call("importing rk_odd of rk-odd", importlib.import_module, "rk_odd")

    Args:
        advice: What the user can do about code that takes too long.
    """

    def __init__(self, advice: str = "") -> None:
        super().__init__()
        self._hint = f"\n  hint: {advice}" if advice else ""
        self._doing = ""
        self._caught = False

    def __enter__(self) -> Isolation:
        super().__enter__()
        self._before = _handler(_signal.SIGINT, self._interrupt)
        alarm = getattr(_signal, "SIGALRM", None)
        self._reminds = (
            alarm is not None
            and _signal.getsignal(alarm) == _signal.SIG_DFL
            and _handler(alarm, self._remind) is not None
        )
        if self._reminds:
            _signal.setitimer(_signal.ITIMER_REAL, PATIENCE, PATIENCE)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._reminds and _signal.getsignal(_signal.SIGALRM) == self._remind:  # else the code has set its own
            _signal.setitimer(_signal.ITIMER_REAL, 0)
            _signal.signal(_signal.SIGALRM, _signal.SIG_DFL)
        if self._before is not None:
            _signal.signal(_signal.SIGINT, self._before)
        super().__exit__(*exc)

    def call(self, doing: str, function: Callable[..., Any], *args: object) -> tuple[Any, BaseException | None]:
        """Returns what `function(*args)` returns and None, or None and what it raised, an exit or an interrupt too.

        Args:
            doing: What it does and for whom: "importing rk_odd of rk-odd".
            function: The third party's code.
            args: What it takes.

        Raises:
            Interrupted: When the user pressed Ctrl-C meanwhile.
        """
        self._doing, self._began = doing, time.monotonic()
        answer, error = None, None
        try:
            answer = function(*args)
        except BaseException as raised:
            error = raised
        self._doing = ""
        if self._caught and (self._before is _signal.default_int_handler or isinstance(error, KeyboardInterrupt)):
            raise Interrupted(f"interrupted while {doing}{self._hint}") from error
        return answer, error

    def _interrupt(self, number: int, frame: object) -> None:
        if self._caught and self._doing:  # the code has swallowed the first one
            _say(f"interrupted while {self._doing}{self._hint}")
            self.leave(130)
        self._caught = True
        if callable(self._before):
            self._before(number, frame)

    def _remind(self, number: int, frame: object) -> None:
        if self._doing and time.monotonic() - self._began > PATIENCE / 2:
            _say(f"still {self._doing}; Ctrl-C stops it{self._hint}")

    def leave(self, code: int) -> None:
        """Ends the process at once, whatever the code does."""
        os._exit(code)


def _handler(number: int, handler: Callable[[int, Any], None]) -> Any:
    """Sets the handler of a signal and returns the one before.

    None, and nothing is set, in a thread, which cannot set any, and where the signal is ignored or not Python's.
    """
    if _signal.getsignal(number) in (None, _signal.SIG_IGN):
        return None
    try:
        return _signal.signal(number, handler)
    except ValueError:
        return None


told_to = [_STDERR]
"""File descriptors for rk's messages while plugins' code runs. The last one is used, also while output is held back."""


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(told_to[-1], f"{text}\n".encode(errors="backslashreplace"))
