"""`rk plugins test`: the contract kit run on an installed plugin, its findings as plain lines."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from rk.errors import ExitCode, counted

KIT = Path(__file__).parent / "installed.py"


def run_kit(plugin: str, echo: Callable[[str], None], *, everything: bool, tracebacks: bool, only: str | None) -> int:
    """Runs the contract kit on `plugin`.

    Args:
        plugin: The plugin's name.
        echo: Prints one line.
        everything: Takes two steps of recipes for larger machines too.
        tracebacks: Prints where an exception came from.
        only: Runs only the checks whose name contains this.

    Returns:
        The exit code: 1 when a check has failed.
    """
    reporter = _Reporter(echo, tracebacks)
    arguments = [str(KIT), f"--rk-plugin={plugin}", "--rootdir", str(KIT.parent)]
    arguments += ["--import-mode=importlib", "-c", "/dev/null"]
    for unused in ("terminal", "cacheprovider", "unraisableexception", "threadexception"):
        arguments += ["-p", f"no:{unused}"]
    arguments += ["--rk-all"] if everything else []
    arguments += ["-k", only.replace("-", "_")] if only else []
    with tempfile.TemporaryDirectory() as scratch:  # pytest's own folder would first be cleared of what others left
        pytest.main([*arguments, f"--basetemp={scratch}/runs"], plugins=[reporter])
    passed, failed, skipped = (reporter.counts[word] for word in ("passed", "failed", "skipped"))
    echo(f"\n{plugin}: {counted(passed, 'check')} passed, {failed} failed, {skipped} not applicable")
    if not sum(reporter.counts.values()):
        echo("no check was run")
        return ExitCode.FAILED
    return ExitCode.FAILED if failed else ExitCode.OK


class _Reporter:
    """Prints each check as it ends: what was looked at, and what was found."""

    def __init__(self, echo: Callable[[str], None], tracebacks: bool) -> None:
        self.echo = echo
        self.tracebacks = tracebacks
        self.counts = {"passed": 0, "failed": 0, "skipped": 0}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return
        self.counts[report.outcome] += 1
        name = report.nodeid.rpartition("::test_")[2]
        check, _, subject = name.removesuffix("]").partition("[")
        if subject == "NOTSET":  # pytest's word for a plugin without recipes, or without components
            self.echo(f"{'-':<7} {check.replace('_', ' ')}  (the plugin has none)")
            return
        label = check.replace("_", " ") + (f": {subject}" if subject else "")
        word = {"passed": "ok", "failed": "FAILED", "skipped": "-"}[report.outcome]
        self.echo(f"{word:<7} {label}{self._reason(report)}")

    def _reason(self, report: pytest.TestReport) -> str:
        if report.passed:
            return ""
        if report.skipped and isinstance(report.longrepr, tuple):  # file, line, reason
            return f"  ({report.longrepr[2].removeprefix('Skipped: ')})"
        crash, text = getattr(report.longrepr, "reprcrash", None), report.longreprtext
        if crash is not None and crash.message.startswith("Failed: "):  # a finding of the kit, made for the author
            text = crash.message.removeprefix("Failed: ")
        elif crash is not None and not self.tracebacks:
            text = f"{crash.message}\nat {crash.path}:{crash.lineno}"
        return "".join(f"\n          {line}" for line in text.strip().splitlines())

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.counts["failed"] += 1
            self.echo(f"FAILED  {report.longreprtext}")
