"""The contract kit run on several plugins, and the tests of a plugin run in its folder: jobs of the zygote."""

from __future__ import annotations

import contextlib
import io

import pytest

from rk.testing.report import run_kit


def found(wanted: dict[str, str | None]) -> dict[str, dict]:
    """Returns the exit code and the lines for each plugin.

    Args:
        wanted: Plugin -> the check, or None for all.
    """
    results = {}
    for name, only in wanted.items():
        lines: list[str] = []
        code = run_kit(name, lines.append, everything=False, tracebacks=False, only=only)
        results[name] = {"code": int(code), "lines": "\n".join(lines)}
    return results


def own_tests() -> tuple[int, str]:
    """Runs pytest in the working folder; returns its exit code and what it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = pytest.main(["-q", "-p", "no:cacheprovider"])
    return int(code), printed.getvalue()
