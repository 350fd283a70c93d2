"""Training a recipe from within another run or an analysis: students, members, candidates.

::

    inner = train_inside("my-net/small", (f"model.width={width}",), name=f"width-{width}", within=self.runtime)
    score = inner.metrics["val/accuracy"]
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from rk.catalog import Catalog
from rk.errors import ExitCode, Mark, Problem, RecipeError, RkError, UserError, counted, printable_lines
from rk.fit.begin import Supplier, begin, taken_up
from rk.fit.loaded import LoadedRun
from rk.fit.rng import forked
from rk.fit.runtime import Runtime
from rk.fit.signals import StoppedInside, StopSignal
from rk.fit.train import train
from rk.recipe import Recipe, check_recipe
from rk.recipe.find import find_recipe
from rk.recipe.stored import stored_values, trained
from rk.runs import RunFolder
from rk.runs.kept import INSIDE
from rk.values import PlainDict

__all__ = ["InnerRun", "Trainings", "settings", "train_inside"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class _InnerMistake(RecipeError):
    """A recipe that a run trains within itself has mistakes; the steps that the run has done are kept."""

    def __init__(self, problems: Iterable[Problem], name: str = "") -> None:
        super().__init__(problems)
        self.name = name

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return _InnerMistake, (self.problems, self.name)

    def render(self) -> str:
        text = printable_lines(self.message)
        return (
            f"{text}\nerror: {counted(len(self.problems), 'problem')} found; the inner run {self.name} was not trained"
        )


@dataclass(frozen=True)
class InnerRun:
    """A run that was trained within another one.

    Attributes:
        folder: Its folder, ``RUN/inside/NAME``: a run like any other.
        metrics: Its final ``split/metric`` numbers; None for one that is not a number.
    """

    folder: Path
    metrics: dict[str, float | None]

    @functools.cached_property
    def run(self) -> LoadedRun:
        """The run, loaded on first use."""
        with forked(0):  # building it draws first weights
            return LoadedRun.open(self.folder)

    @property
    def learner(self) -> nn.Module:
        """The learner, in eval mode."""
        return self.run.learner

    def higher_is_better(self, metric: str) -> bool:
        """Whether more of a ``split/metric`` is better."""
        known = RunFolder(self.folder).read().get("higher_is_better") or {}
        return bool(known.get(metric.partition("/")[2].partition("@")[0], True))


def settings(recipe: str | Path, overrides: Iterable[str] = ()) -> PlainDict:
    """Returns a recipe as plain values, checked and with its defaults: ``settings("my-net/small")["fit"]["seed"]``.

    Args:
        recipe: A recipe's name or path.
        overrides: What is changed of it, ``key=value``.

    Raises:
        RkError: When there is no such recipe, or it is wrong.
    """
    catalog = Catalog()
    return check_recipe(find_recipe(os.fspath(recipe), catalog.plugins), tuple(overrides), catalog).valid().plain()


class Trainings:
    """Trains one recipe several times, with changes: what curves and tables over many trainings have in common.

    Args:
        recipe: Its name or path.
        metric: The ``split/metric`` that is compared; None: the accuracy of the tests, else `fit.monitor`, else the
            loss of the tests, else that of validation.
        within: The folder of the analysis, or the runtime of the search.

    Attributes:
        plain: The recipe as plain values.
        metric: What is compared; None until the first score where none was given.
    """

    def __init__(self, recipe: str, metric: str | None, within: Runtime | Path) -> None:
        self.plain = settings(recipe)
        self.recipe = recipe
        self.metric = metric
        self.within = within

    def train(self, name: str, seed: int, overrides: Iterable[str] = ()) -> InnerRun:
        """Trains with changes; what was trained already is taken as it is.

        Args:
            name: Of the training.
            seed: Added to the recipe's own.
            overrides: What is changed, ``key=value``.
        """
        changes = [f"fit.seed={self.plain['fit']['seed'] + seed}", *overrides]
        return train_inside(self.recipe, changes, name=name, within=self.within)

    def score(self, run: InnerRun) -> float:
        """Returns the metric that is compared.

        Raises:
            rk.UserError: When it is not measured, or not a number.
        """
        if self.metric is None:
            chosen = ("test/accuracy", self.plain["fit"].get("monitor"), "test/loss", "val/loss")
            self.metric = next((name for name in chosen if name in run.metrics), None)
        value = None if self.metric is None else run.metrics.get(self.metric)
        if value is None or not math.isfinite(value):
            raise UserError(f"{self.recipe} measures no {self.metric!r}", f"--metric takes: {', '.join(run.metrics)}")
        return value


def train_inside(recipe: str | Path, overrides: Iterable[str] = (), *, name: str, within: Runtime | Path) -> InnerRun:
    """Trains a recipe to its end, within another run or an analysis, and returns what came out.

    The random generators, the number of threads and the signals of the outer run are left as they were. A name that was
    trained already is not trained again: so a run that was killed resumes where it was, the inner run too. The loop of
    the outer run writes a checkpoint after each step that trains.

    Args:
        recipe: A recipe's name or path.
        overrides: What is changed of it, ``key=value``.
        name: What the outer run calls it; each training needs its own name.
        within: The outer run's runtime; in an analysis, the folder that it writes into.

    Raises:
        RkError: When the recipe is wrong, or the training goes wrong.
        StoppedInside: When a signal ends the training. The outer run ends, too, and can be resumed.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"the name of an inner run must be up to 100 letters, digits, dots and hyphens, got {name!r}")
    changes = tuple(overrides)
    if isinstance(overrides, str | Mapping) or not all(isinstance(change, str) for change in changes):
        raise TypeError(f"overrides must be a list of texts key=value, got {overrides!r}")
    if torch.distributed.is_initialized():
        raise UserError(f"{name} cannot be trained within a run on several devices", "fit.devices=1")
    outer, root = (within, within.folder) if isinstance(within, Runtime) else (None, Path(within))
    if root is None:
        raise ValueError(f"the inner run {name} needs a place: the outer run has no folder")
    catalog = outer.catalog if outer is not None and outer.catalog is not None else Catalog()
    wanted = _checked(os.fspath(recipe), changes, catalog, name)
    folder = RunFolder(root / INSIDE / name)
    threads = torch.get_num_threads()
    try:
        with forked(0):
            metrics = _trained(wanted, folder, catalog, outer.signal if outer is not None else None)
    finally:
        torch.set_num_threads(threads)
    if outer is not None:
        outer.trained_inside = True
    return InnerRun(folder.path, metrics)


def _checked(recipe_name: str, overrides: tuple[str, ...], catalog: Catalog, name: str) -> Recipe:
    """Returns the checked recipe. Its mistakes name the inner run: the user has typed no override."""
    try:
        return check_recipe(find_recipe(recipe_name, catalog.plugins), overrides, catalog).valid()
    except RecipeError as error:
        said = [Problem(_within(p.mark, name), p.key, p.message, p.hint) for p in error.problems]
        raise _InnerMistake(said, name) from None
    except UserError as error:
        raise UserError(f"the inner run {name}: {error.message}", error.hint) from error


def _within(mark: Mark, name: str) -> Mark:
    return mark if mark.line else Mark(f"inner run {name}: {mark.source.removeprefix('command line: ')}")


def _trained(recipe: Recipe, folder: RunFolder, catalog: Catalog, signal: StopSignal | None) -> dict[str, float | None]:
    """Takes the finished run in `folder`, resumes it, or trains it; returns its metrics."""
    resume = False
    if folder.recipe.is_file():
        if folder.info().get("asked") != _asked(recipe) and trained(stored_values(folder)) != trained(recipe.plain()):
            raise UserError(
                f"{folder.path.name} was trained with another recipe than the requested one",
                f"give each training its own name, or delete {folder.label}",
            )
        if folder.info().get("status") == "done":
            return _numbers(folder)
        resume = bool(folder.checkpoint_steps())
    if not resume:
        shutil.rmtree(folder.path, ignore_errors=True)
        begin(recipe, folder.path.parent, Supplier(catalog, folder.path.parent / ".begun-from", _nothing), folder.path)
        folder.update(asked=_asked(recipe))
    signal = StopSignal() if signal is None else signal
    try:
        with signal.entered():
            outcome = train(taken_up(recipe, folder), catalog, folder, resume=resume, signal=signal)
    except RecipeError as error:
        raise _InnerMistake(error.problems, folder.path.name) from error
    except RkError as error:
        error.message = f"the inner run {folder.path.name}: {error.message}"
        error.args = (error.message,)
        raise
    if outcome.exit_code != ExitCode.OK:
        raise StoppedInside(outcome.exit_code, folder.path.name)
    return _numbers(folder)


def _asked(recipe: Recipe) -> str:
    """Returns a digest of what was asked for: the stored recipe names the copies of runs that it keeps."""
    return hashlib.sha256(json.dumps(trained(recipe.plain()), sort_keys=True, default=str).encode()).hexdigest()


def _numbers(folder: RunFolder) -> PlainDict:
    return dict(folder.read()["metrics"])


def _nothing(line: str) -> None:
    """The outer run alone is shown."""
