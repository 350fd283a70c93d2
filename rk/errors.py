"""Errors for users: problems with a place, a cause and a hint; the exit codes."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterable, Iterator

from rk.record import record

__all__ = ["ExitCode", "RecipeError", "RkError", "RunFailed", "UserError", "counted", "nearest", "printable", "suggest"]


class ExitCode(enum.IntEnum):
    """Exit codes of `rk`: a public contract."""

    OK = 0
    FAILED = 1
    """The run failed: a NaN, a full disk, a plugin's bug."""
    USER_ERROR = 2
    """The input is wrong: a recipe, an option, a file."""
    CLAIM_NOT_REACHED = 3
    """`rk reproduce` ran everything, but a claim was not reached. (`rk train` prints NOT REACHED and exits with 0.)"""
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
        text = printable_lines(f"error: {self.message}")
        return f"{text}\n  hint: {printable_lines(self.hint)}" if self.hint else text


class UserError(RkError):
    """The user's input is wrong."""

    exit_code = ExitCode.USER_ERROR


class RunFailed(RkError):
    """The run itself went wrong (NaN, no checkpoint to resume from)."""


@contextlib.contextmanager
def with_hints() -> Iterator[None]:
    """Adds the hint of an error to what Python shows of it, below its message: for calls from a program."""
    try:
        yield
    except RkError as error:
        hint = None if error.hint is None else f"hint: {error.hint}"
        if hint is not None and hint not in getattr(error, "__notes__", ()):
            error.add_note(hint)
        raise


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


def printable(text: str, limit: int = MAX_TEXT) -> str:
    """Returns `text` in one line of at most `limit` characters, with escapes for what would change a terminal.

    A recipe may come from anywhere, and messages repeat its text.
    """
    shown = "".join(c if c.isprintable() else " " if c.isspace() else repr(c)[1:-1] for c in text[:limit])
    return shown if len(text) <= limit else f"{shown}..."


def printable_lines(text: str) -> str:
    """Returns all of `text` with its lines, and escapes for what would change a terminal: see `printable`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


class RecipeError(UserError):
    """All the problems of one recipe, found in one pass."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        once = {str(p): p for p in problems}  # a chain of recipes can lead to one mistake twice
        self.problems = sorted(once.values(), key=lambda p: (p.mark, p.key))
        super().__init__("\n".join(str(p) for p in self.problems))

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return RecipeError, (self.problems,)  # its arguments are not its message: for other processes

    def render(self) -> str:
        return f"{self.message}\nerror: {counted(len(self.problems), 'problem')} found; nothing was run"


MAX_NAME = 100
"""Characters of a word that may be a misspelt name."""
MAX_CHOICES = 12
"""Choices that a hint lists."""


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """Returns the choice that `word` was probably meant to be, or None.

    Words that both names share count for nothing: ``digits-quick`` is not meant to be ``tsp-quick``. A word that is cut
    short, ``acc``, means what begins with it.
    """
    import difflib

    if len(word) > MAX_NAME:
        return None
    lower = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(word.lower(), lower, n=5, cutoff=0.6)
    found = next((name for name in close if _differ_little(word.lower(), name)), None)
    if found is None and len(word) >= 3:  # cut short: `acc`
        found = next((name for name in lower if name.startswith(word.lower())), None)
    return None if found is None else lower[found]


def suggest(word: str, choices: Iterable[str], noun: str = "choose from") -> str | None:
    """Returns a hint: the nearest right spelling if there is one, and what is accepted.

    Args:
        word: What the user wrote.
        choices: What is accepted. A set is listed by the alphabet, anything else in its own order.
        noun: What the choices are.
    """
    names = sorted(choices) if isinstance(choices, set | frozenset) else list(dict.fromkeys(choices))
    if not names:
        return None
    close = nearest(word, names)
    if len(names) <= MAX_CHOICES:
        listed = ", ".join(names)
    else:
        listed = ", ".join(by_relevance(word, names)[:MAX_CHOICES]) + f", ... ({len(names)} in all)"
    return f"did you mean {close}? ({noun}: {listed})" if close else f"{noun}: {listed}"


def by_relevance(word: str, names: list[str]) -> list[str]:
    """Returns `names` with those first that look like `word` or share a word with it, the rarest words before others.

    All others keep their order.
    """
    import difflib
    from collections import Counter

    common = Counter(part for name in names for part in _words(name))
    lower = {name.lower(): name for name in names}
    alike = difflib.get_close_matches(word.lower(), lower, n=MAX_CHOICES, cutoff=0.6) if len(word) <= MAX_NAME else []
    rank = {lower[name]: place for place, name in enumerate(alike)}
    wanted = _words(word)

    def relevance(name: str) -> tuple[float, int]:
        return -sum(1 / common[part] for part in _words(name) & wanted), rank.get(name, MAX_CHOICES)

    return sorted(names, key=relevance)


def counted(count: int, noun: str) -> str:
    """Returns ``1 run`` or ``2 runs``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _words(name: str) -> set[str]:
    """Returns the words of a name that hyphens and the like join; numbers and single letters are left out."""
    return {part for part in _parts(name) if len(part) > 1 and not part.isdigit()}


def _parts(name: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in name.lower()).split()


def _differ_little(word: str, choice: str) -> bool:
    """Whether what remains of both names, without the words that they share, is alike too."""
    import difflib

    ours, theirs = _parts(word), _parts(choice)
    own = "".join(part for part in ours if part not in theirs)
    other = "".join(part for part in theirs if part not in ours)
    return not own or not other or difflib.SequenceMatcher(None, own, other).ratio() >= 0.6
