"""Runs of recipes in this process: importing torch anew would take longer than they do."""

from __future__ import annotations

from pathlib import Path

import pytest

from rk.runs import RunFolder


class Bench:
    """An empty working folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def rk(self, *args: str | Path) -> int:
        """Runs `rk` in this process; returns its exit code, or raises what it would print."""
        from rk.cli import cli

        return cli([str(a) for a in args], standalone_mode=False) or 0

    def train(self, recipe: str, *overrides: str, runs: str = "runs") -> RunFolder:
        """Trains a recipe; returns its run."""
        assert self.rk("train", recipe, *overrides, "--runs-dir", self.folder / runs) == 0
        return next(RunFolder.all(self.folder / runs))


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Bench:
    monkeypatch.chdir(tmp_path)
    return Bench(tmp_path)
