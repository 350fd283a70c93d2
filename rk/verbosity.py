"""How much a command prints: `rk --quiet` and `rk --verbose`, which the processes that it starts follow too."""

from __future__ import annotations

import os

VARIABLE = "RK_VERBOSITY"
"""``quiet``: results and errors alone; ``verbose``: versions, plugins and times too."""
QUIET, VERBOSE = "quiet", "verbose"


def is_quiet() -> bool:
    return os.environ.get(VARIABLE) == QUIET


def is_verbose() -> bool:
    return os.environ.get(VARIABLE) == VERBOSE
