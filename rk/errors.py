"""What a user is told when something is wrong: problems with a place, a cause and a hint; the exit codes."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from rk.record import record


class ExitCode(enum.IntEnum):
    """Exit codes of `rk`: a public contract."""

    OK = 0
    FAILED = 1
    """The run failed: a NaN, a full disk, a plugin's bug."""
    USER_ERROR = 2
    """The input is wrong: a recipe, an option, a file."""
    CLAIM_NOT_REACHED = 3
    """Everything ran, but a number that the recipe expects was not reached."""
    HUNG_UP = 129
    """Stopped by SIGHUP (the terminal or the connection is gone), after a checkpoint."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C, after a checkpoint."""
    TERMINATED = 143
    """Stopped by SIGTERM, after a checkpoint."""


class RkError(Exception):
    """An error with a message made for the user: never shown with a traceback."""

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def render(self) -> str:
        """Returns the ``error:`` line and, where there is one, the ``hint:`` line."""
        text = f"error: {self.message}"
        return f"{text}\n  hint: {self.hint}" if self.hint else text


class UserError(RkError):
    """The user's input is wrong."""

    exit_code = ExitCode.USER_ERROR


class RunFailed(RkError):
    """The run itself went wrong (NaN, no checkpoint to go on from)."""


MAX_TEXT = 2000
"""Characters of one message that are shown."""


@record
class Mark:
    """A place in a source: a file's line and column (from 1), or the command line (line 0)."""

    source: str
    line: int = 0
    column: int = 0

    def __lt__(self, other: Mark) -> bool:
        return (self.source, self.line, self.column) < (other.source, other.line, other.column)

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@record
class Problem:
    """One mistake, or one warning, at one place."""

    mark: Mark
    key: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        key = f"{self.key}: " if self.key else ""
        text = printable(f"{self.mark}: {key}{self.message}")
        return f"{text}\n  hint: {printable(self.hint)}" if self.hint else text


def printable(text: str) -> str:
    """Returns `text` in one line of bounded length, with escapes for what would change a terminal.

    A recipe may come from anywhere, and messages repeat what it says.
    """
    shown = "".join(c if c.isprintable() else " " if c.isspace() else repr(c)[1:-1] for c in text[:MAX_TEXT])
    return shown if len(text) <= MAX_TEXT else f"{shown}..."


class RecipeError(UserError):
    """All the problems of one recipe, found in one pass."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(problems, key=lambda p: (p.mark, p.key))
        super().__init__("\n".join(str(p) for p in self.problems))

    def render(self) -> str:
        count = len(self.problems)
        return f"{self.message}\nerror: {count} problem{'s' if count > 1 else ''} found; nothing was run"


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """Returns the choice that `word` was probably meant to be, or None."""
    import difflib

    lower = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.6)
    return lower[close[0]] if close else None


def suggest(word: str, choices: Iterable[str], noun: str = "choose from") -> str | None:
    """Returns a hint: the nearest right spelling if there is one, and what is accepted."""
    names = sorted(choices)
    if not names:
        return None
    close = nearest(word, names)
    listed = ", ".join(names) if len(names) <= 12 else ", ".join(names[:12]) + f", ... ({len(names)} in all)"
    return f"did you mean {close}? ({noun}: {listed})" if close else f"{noun}: {listed}"
