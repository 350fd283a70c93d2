"""For the tests of all plugins: published data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rk import UserError


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
