"""Where downloads and conversions are kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Returns where what is costly to make again is kept: ``RK_CACHE``, else ``~/.cache/rk``."""
    return Path(os.environ.get("RK_CACHE") or Path.home() / ".cache" / "rk")


def data_folder() -> Path:
    """Returns where data sets lie: ``RK_DATA``, else a folder in the cache."""
    return Path(os.environ.get("RK_DATA") or cache_folder() / "data")
