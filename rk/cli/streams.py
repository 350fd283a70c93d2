"""Standard streams that fail: a closed pipe, a terminal that is gone, a full disk, a stream that was never open."""

from __future__ import annotations

import os
import sys
from typing import Any

LONG = ("train", "search", "analyze", "reproduce")
"""Commands whose work is worth more than their output."""
BRIEF = ("completion", "list", "recipes", "schema", "show", "validate")
"""Commands that read and print: they end before there is garbage to speak of."""


class LastingStream:
    """A text stream that drops its output once it cannot be written, instead of ending the work."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            written: int = self._stream.write(text)
            return written
        except OSError:
            self._fall_silent()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._fall_silent()

    def _fall_silent(self) -> None:
        silence(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def silence(stream: Any) -> None:
    """Sends what is still to come, also what is flushed at exit, to the null device."""
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, stream.fileno())
    finally:
        os.close(null)


def open_missing() -> None:
    """Opens the null device for standard streams that were closed by the caller.

    Else the first file that is opened gets their number, and what is printed goes into it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def make_lasting() -> None:
    """Lets the work continue when its output can no longer be read."""
    for name in ("stdout", "stderr"):
        setattr(sys, name, LastingStream(getattr(sys, name)))
