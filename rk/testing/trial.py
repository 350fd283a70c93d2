"""Short runs of a recipe in a scratch folder: the real loop, with few steps and few batches measured."""

from __future__ import annotations

import copy
import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from rk.catalog import Catalog
from rk.fit.begin import begin, taken_up
from rk.fit.build import Parts
from rk.fit.loop import Loop
from rk.fit.rng import forked
from rk.fit.signals import StopSignal
from rk.recipe import Recipe, check_recipe
from rk.recipe.find import RecipeFile
from rk.recipe.model import Trainable
from rk.runs import RunFolder
from rk.values import PlainDict

MEASURED = 2
"""Batches of each validation and test split that a short run takes."""


@dataclass
class Ended:
    """The result of a short run."""

    folder: RunFolder
    parts: Parts
    metrics: Mapping[str, float]
    logged: list[PlainDict]

    @property
    def learner(self) -> nn.Module:
        return self.parts.learner

    @property
    def data(self) -> Any:
        return self.parts.data


class Trial:
    """A recipe that is run for a few steps at a time.

    Args:
        file: The recipe.
        catalog: The installed components.
        scratch: A folder for the runs.
        overrides: As on the command line: ``model.hidden_size=8``.
        accelerator: As in ``fit``; the runs are on the CPU unless a test is about another device.
        precision: As in ``fit``.

    Raises:
        RecipeError: When the recipe does not check.
    """

    def __init__(
        self,
        file: RecipeFile,
        catalog: Catalog,
        scratch: Path,
        overrides: tuple[str, ...] = (),
        *,
        accelerator: Literal["cpu", "auto", "cuda"] = "cpu",
        precision: Literal["32-true", "bf16-mixed"] = "32-true",
    ) -> None:
        self.file = file
        self.catalog = catalog
        self.scratch = scratch
        self.overrides = overrides
        self.accelerator = accelerator
        self.precision = precision
        self.recipe = self._read(overrides)

    @property
    def place(self) -> PlainDict:
        """The arguments with which `at` builds the same trial in another process; JSON-able."""
        file = (str(self.file.path), self.file.plugin, self.file.distribution)
        return {"file": file, "scratch": str(self.scratch), "overrides": self.overrides}

    @classmethod
    def at(cls, file: Sequence[str], scratch: str, overrides: Sequence[str]) -> Trial:
        """Returns the trial that another process has, with the plugins that are installed."""
        path, plugin, distribution = file
        return cls(RecipeFile(Path(path), plugin, distribution), Catalog(), Path(scratch), tuple(overrides))

    def _read(self, overrides: tuple[str, ...]) -> Recipe:
        return check_recipe(self.file, overrides, self.catalog).valid()

    def run(
        self,
        steps: int,
        *,
        validate_every: int | None = None,
        checkpoint_every: int | None = None,
        cut_at: int | None = None,
        resume: RunFolder | None = None,
        draws: bool = False,
    ) -> Ended:
        """Runs `steps` steps in one process.

        Args:
            steps: Optimizer steps.
            validate_every: As in ``fit``.
            checkpoint_every: As in ``fit``.
            cut_at: Ends the run after this step as a power cut would: nothing more is saved.
            resume: Resumes this run from its last checkpoint.
            draws: Draws the figures of the end too.
        """
        recipe = self._shortened(steps, validate_every, checkpoint_every)
        folder = resume or begin(recipe, self.scratch, self._supply)
        loop = _ShortLoop(taken_up(recipe, folder), self.catalog, folder, cut_at, draws)
        threads = torch.get_num_threads()
        metrics: Mapping[str, float] = {}
        try:
            with forked(0), StopSignal() as signal:
                metrics = loop.run(signal, resume is not None, False).metrics
        except _Cut:
            pass
        finally:
            if loop.progress is not None:
                loop.progress.stop()
            torch.set_num_threads(threads)
        return Ended(folder, loop.parts, metrics, list(folder.metrics()))

    def build(self, steps: int = 100) -> Loop:
        """Builds everything and takes no step; `steps` is what schedules are given."""
        recipe = self._shortened(steps, None, None)
        folder = begin(recipe, self.scratch, self._supply)
        loop = _ShortLoop(taken_up(recipe, folder), self.catalog, folder, None, False)
        threads = torch.get_num_threads()
        with forked(0):
            loop.build()
            for callback in loop.hooks["fit_start"]:
                callback(loop.context)
        torch.set_num_threads(threads)
        return loop

    def _supply(self, wanted: Trainable) -> RunFolder:
        """Returns a short run of a recipe that this one begins from: one for all trials in the same scratch folder."""
        name = hashlib.sha256(repr((wanted.name, wanted.overrides)).encode()).hexdigest()[:16]
        folder = self.scratch / "begun-from" / name
        done = [run for run in RunFolder.all(folder) if run.info().get("status") == "done"]
        return done[0] if done else Trial(wanted.file, self.catalog, folder, wanted.overrides).run(2).folder

    def _shortened(self, steps: int, validate_every: int | None, checkpoint_every: int | None) -> Recipe:
        fit = replace(
            self.recipe.fit,
            max_steps=steps,
            max_epochs=None,
            max_time=None,
            early_stopping=None,
            validate_every=validate_every,
            validate_batches=MEASURED,
            checkpoint_every=checkpoint_every or steps,
            monitor=None,
            log_every=1,
            workers=0,
            threads=self.recipe.fit.threads or 1,
            accelerator=self.accelerator,
            devices=1,
            nodes=1,
            strategy="auto",
            precision=self.precision,
        )
        short = copy.copy(self.recipe)
        short.fit, short.expect = fit, []
        return short


BATCHES = "batches"


class _Cut(BaseException):
    """The power has failed."""


class _ShortLoop(Loop):
    def __init__(self, recipe: Recipe, catalog: Catalog, folder: RunFolder, cut_at: int | None, draws: bool) -> None:
        super().__init__(recipe, catalog, folder)
        self.cut_at = cut_at
        self.draws = draws

    def build(self) -> None:
        super().build()
        data = self.parts.data
        if data is not None:
            setattr(data, BATCHES, functools.partial(_few_batches, data.batches))
        if self.cut_at is not None:
            self.hooks["after_step"] = [*self.hooks["after_step"], self._cut]

    def _cut(self, fit: object) -> None:
        if self.cut_at is not None and self.at.step >= self.cut_at:
            raise _Cut


def _few_batches(batches: Any, split: str) -> int | None:
    total = batches(split)
    return min(n for n in (total, MEASURED) if n is not None) if split.startswith(("val", "test")) else total
