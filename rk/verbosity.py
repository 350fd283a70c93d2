"""How much a command prints: `rk --quiet` and `rk --verbose`, which the processes that it starts follow too."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

VARIABLE = "RK_VERBOSITY"
"""``quiet``: results and errors alone; ``verbose``: versions, plugins and times too."""
QUIET, VERBOSE = "quiet", "verbose"


def is_quiet() -> bool:
    return os.environ.get(VARIABLE) == QUIET


def is_verbose() -> bool:
    return os.environ.get(VARIABLE) == VERBOSE


@contextlib.contextmanager
def quieted(wanted: bool = True) -> Iterator[None]:
    """Prints results and errors alone for the block, where that is wanted; one thread at a time."""
    before = os.environ.get(VARIABLE)
    if wanted:
        os.environ[VARIABLE] = QUIET
    try:
        yield
    finally:
        if wanted:
            os.environ.pop(VARIABLE) if before is None else os.environ.update({VARIABLE: before})
