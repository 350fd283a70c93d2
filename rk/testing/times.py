"""What tests cost: the CPU seconds of each test, with its fixtures and processes, as ``pytest --rk-times`` writes them.

Importing a large library is paid once, by whichever test comes first, and so are the first graph and the first figure
of a process. They are counted by themselves, as ``imports``, and so are the zygotes, which import for their children.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from rk.testing.libraries import ImportClock, use_first


class Times:
    """A plugin of pytest that writes a line for each test into a file of this process: its name, a tab, its seconds.

    Args:
        config: That of pytest; its option ``--rk-times`` names the folder, which need not exist.
    """

    def __init__(self, config: pytest.Config) -> None:
        worker = getattr(config, "workerinput", {}).get("workerid", "main")
        self._file = Path(config.getoption("--rk-times"), f"{worker}.tsv")
        self._first_uses = 0.0
        self._clock = ImportClock()
        self._clock.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        """Measures a test with its fixtures and its processes."""
        before = self._cpu_seconds()
        result = yield
        self._note(item.nodeid, self._cpu_seconds() - before)
        return result

    def pytest_collection_finish(self) -> None:
        """Measures all that comes before the first test."""
        self._note("collection", before := self._cpu_seconds())
        use_first()
        self._first_uses = self._cpu_seconds() - before

    def pytest_unconfigure(self) -> None:
        """Notes what all imports and first uses of large libraries have cost."""
        self._clock.stop()
        self._note("imports", self._imports())

    def _note(self, what: str, seconds: float) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with open(self._file, "a", encoding="utf-8") as file:
            file.write(f"{what}\t{seconds:.3f}\n")

    def _cpu_seconds(self) -> float:
        """Returns what this process and those that it has started have used, except imports."""
        zygotes = _zygotes()
        return sum(os.times()[:4]) - self._clock.seconds + (0.0 if zygotes is None else zygotes.uncounted_seconds)

    def _imports(self) -> float:
        zygotes = _zygotes()
        return self._clock.seconds + self._first_uses + (0.0 if zygotes is None else zygotes.import_seconds)


def _zygotes() -> Any:
    module = sys.modules.get("rk.testing.zygote")
    return None if module is None else module.Zygote
