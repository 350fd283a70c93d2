"""What a run needs to be understood later: versions, the state of the code, the machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any


def describe(distributions: Iterable[str]) -> dict[str, Any]:
    """Returns versions of the host, torch and `distributions`, the git state of the working folder, and the host."""
    return {
        "versions": versions(distributions),
        "git": _git(),
        "host": {"system": platform.platform(), "machine": platform.machine(), "cores": os.cpu_count()},
        "command": [os.path.basename(sys.argv[0]), *sys.argv[1:]],
    }


def versions(distributions: Iterable[str]) -> dict[str, str]:
    """Returns name -> version of Python, the host, torch and `distributions`."""
    names = sorted({"recursion-kit", "torch", *distributions})
    return {"python": platform.python_version(), **{n: v for n in names if (v := _version(n))}}


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _git() -> dict[str, Any] | None:
    """Returns commit and cleanliness, or None outside a repository or without git."""
    try:
        ask = {"capture_output": True, "text": True, "timeout": 5, "check": True}
        commit = subprocess.run(["git", "rev-parse", "HEAD"], **ask).stdout.strip()
        changed = subprocess.run(["git", "status", "--porcelain", "--untracked-files=no"], **ask).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(changed)}
