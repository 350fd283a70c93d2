"""The report of an unexpected error: kept when it happens, printed by `rk bug`."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import time
import traceback
from pathlib import Path

from rk.files import cache_folder

NAME = "last-bug.txt"


def report_path() -> Path:
    """Returns where the report of the last unexpected error is kept."""
    return cache_folder() / NAME


def keep_report(error: BaseException) -> bool:
    """Writes the report of `error`: when, which command, which versions, the whole traceback.

    Returns:
        Whether it could be written. An error must not be hidden by another one.
    """
    from rk.version import __version__
    from rk.writing import write_atomic

    lines = [
        f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}  rk {__version__}  Python {platform.python_version()}",
        f"system: {platform.platform()}",
        f"command: {' '.join([os.path.basename(sys.argv[0]), *sys.argv[1:]])}",
        f"loaded: {', '.join(sorted(_versions()))}",
        "",
        "".join(traceback.format_exception(error)),
    ]
    with contextlib.suppress(Exception):
        report_path().parent.mkdir(parents=True, exist_ok=True)
        write_atomic(report_path(), "\n".join(lines))
        return True
    return False


def _versions() -> list[str]:
    """Returns the versions of the distributions that matter and of all plugins."""
    from rk.environment import versions
    from rk.plugins import installed

    wanted = {"torch", "lightning", "numpy", "safetensors", *(entry.distribution for entry in installed())}
    return [f"{name} {version}" for name, version in versions(wanted).items()]
