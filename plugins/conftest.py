"""For the tests of all plugins: published data, and no dependence on variables that the user has set for rk."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from rk import UserError
from rk.testing.pytest_plugin import OF_THE_USER


def pytest_sessionstart() -> None:
    """Forgets them before the first fixture; `RK_DATA` and `RK_CACHE` stay, as some tests use data that lie there."""
    for name in OF_THE_USER:
        os.environ.pop(name, None)


@pytest.fixture
def published() -> Callable[[Any], Any]:
    """Prepares data that others have published, and returns it; skips the test where it can be had from nowhere."""

    def call(data: Any) -> Any:
        try:
            data.prepare()
        except UserError as error:
            if "cannot be downloaded" not in error.message:
                raise
            pytest.skip(error.message[:200])
        return data

    return call
