"""The environment of a run: every distribution, the state of the code, the machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from rk.distributions import all_versions, origins
from rk.values import PlainDict

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ATEN_CPU_CAPABILITY", "CUBLAS_WORKSPACE_CONFIG")
"""Variables that change what torch computes, in the last bits."""


def describe(distributions: Iterable[str]) -> PlainDict:
    """Returns the keys of ``run.json`` that say where a run took place.

    ``versions`` of the host, torch and `distributions`; ``environment``: all that is installed; ``git``: the state of
    the working folder; ``host``; ``command``.

    Args:
        distributions: Those whose components take part.
    """
    used = {"recursion-kit", *distributions}
    return {
        "versions": versions(used),
        "environment": {
            "implementation": platform.python_implementation(),
            "python": platform.python_version(),
            "distributions": all_versions(),
            "origins": origins(used),
            "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        },
        "git": _git(),
        "host": {
            "system": platform.platform(),
            "machine": platform.machine(),
            "processor": _processor(),
            "cores": os.cpu_count(),
        },
        "command": [os.path.basename(sys.argv[0]), *sys.argv[1:]],
    }


def _processor() -> str:
    """Returns the processor's model; empty where the system does not say."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            return next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "")
    except OSError:
        return platform.processor()


def versions(distributions: Iterable[str]) -> dict[str, str]:
    """Returns name -> version of Python, the host, torch and `distributions`."""
    names = sorted({"recursion-kit", "torch", *distributions})
    return {"python": platform.python_version(), **{n: v for n in names if (v := _version(n))}}


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


_GIT = (
    "git", "--no-pager", "--no-optional-locks",
    "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "protocol.allow=never",
)  # fmt: skip
"""A repository's own settings can name programs: none of them is to run because somebody trains in its folder."""


def _git() -> PlainDict | None:
    """Returns commit and cleanliness, or None outside a repository or without git."""
    try:
        commit = _ask_git("rev-parse", "HEAD").strip()
        filters = _ask_git("config", "--null", "--name-only", "--get-regexp", r"^filter\.", fails=True)
        # neither filters nor, in submodules, settings of their own: both would be run for files that look changed
        changed = _ask_git(
            "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty", off=filters.split("\0")
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(changed.strip())}


def _ask_git(*arguments: str, fails: bool = False, off: Iterable[str] = ()) -> str:
    """Returns what git prints.

    Args:
        arguments: Of git.
        fails: Whether an exit code is an answer too.
        off: Settings that are emptied for this call.
    """
    emptied = {key: "false" if key.endswith(".required") else "" for key in off if key}
    environment = {**os.environ, "GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}
    given = int(environment.get("GIT_CONFIG_COUNT") or 0)
    for number, (key, value) in enumerate(emptied.items(), start=given):
        environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    environment["GIT_CONFIG_COUNT"] = str(given + len(emptied))
    done = subprocess.run(
        [*_GIT, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=5,
        check=not fails,
        env=environment,
    )
    return done.stdout
