"""Runs in a folder of their own, in this process: starting Python and torch anew takes longer than a short run does."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

from rk.runs import RunFolder


class Folder:
    """An empty working folder. Use it as the fixture ``rk_folder``.

    Attributes:
        folder: Where it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def rk(self, *arguments: str | Path) -> int:
        """Runs `rk` in this process; returns its exit code, or raises what it would print."""
        from rk.cli import cli

        return cli([str(a) for a in arguments], standalone_mode=False) or 0

    def train(self, recipe: str, *overrides: str, runs: str = "runs") -> RunFolder:
        """Trains a recipe; returns its run.

        Args:
            recipe: What `rk train` takes, or the text of a recipe, in several lines.
            overrides: Values such as ``fit.max_steps=3``.
            runs: Folder of the run, in this one.
        """
        if "\n" in recipe:
            (self.folder / "recipe.yaml").write_text(textwrap.dedent(recipe), encoding="utf-8")
            recipe = "recipe.yaml"
        assert self.rk("train", recipe, *overrides, "--runs-dir", self.folder / runs) == 0
        return [*RunFolder.all(self.folder / runs)][-1]

    def start(self, *arguments: str | Path) -> subprocess.Popen:
        """Starts `rk` as a process of its own, and does not wait for its end."""
        command = [sys.executable, "-m", "rk", *map(str, arguments)]
        return subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
