"""Runs in a separate folder, in this process: starting Python and torch takes longer than a short run."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from rk.runs import RunFolder

if TYPE_CHECKING:
    from rk.testing.zygote import Zygote


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

    def start(self, *arguments: str | Path) -> Zygote:
        """Starts `rk` in another process and does not wait for its end; it can be killed (`Zygote.kill`) or waited for.

        The process is a fork: the fixture ``rk`` cannot be used before it has ended.
        """
        from rk.testing.kills import RUN
        from rk.testing.zygote import shared_zygote

        zygote = shared_zygote()
        zygote.start(RUN, command=[str(a) for a in arguments], folder=str(self.folder))
        return zygote
