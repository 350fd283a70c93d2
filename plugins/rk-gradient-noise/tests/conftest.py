"""Runs of throw-away recipes, in this process and in others."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from rk.runs import RunFolder


class Bench:
    """An empty working folder with one recipe in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def rk(self, *args: str | Path) -> int:
        """Runs `rk` in this process; returns its exit code, or raises what it would print."""
        from rk.cli import cli

        return cli([str(a) for a in args], standalone_mode=False) or 0

    def train(self, recipe: str, *overrides: str, runs: str = "runs") -> RunFolder:
        """Trains the text of a recipe; returns its run."""
        (self.folder / "recipe.yaml").write_text(textwrap.dedent(recipe), encoding="utf-8")
        assert self.rk("train", "recipe.yaml", *overrides, "--runs-dir", self.folder / runs) == 0
        return next(RunFolder.all(self.folder / runs))

    def start(self, *args: str | Path) -> subprocess.Popen:
        """Starts `rk` as a process of its own."""
        command = [sys.executable, "-m", "rk", *map(str, args)]
        return subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Bench:
    monkeypatch.chdir(tmp_path)
    return Bench(tmp_path)
