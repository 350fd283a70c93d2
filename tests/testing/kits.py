"""The contract kit run on several plugins, one after the other: a job of the zygote."""

from __future__ import annotations

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
