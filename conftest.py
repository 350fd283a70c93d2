"""For all tests of the repository: they do not depend on variables that the user has set for rk or for the terminal."""

from __future__ import annotations

import os

from rk.testing.pytest_plugin import OF_THE_USER


def pytest_sessionstart() -> None:
    """Forgets them before the first fixture; `RK_DATA` and `RK_CACHE` stay, as some tests use data that lie there."""
    for name in OF_THE_USER:
        os.environ.pop(name, None)
