"""Runs that a new run begins from: they are found or trained, and kept in its folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch

from rk.catalog import Catalog
from rk.environment import versions
from rk.errors import ExitCode, RkError, UserError
from rk.fit.initial import weights_files
from rk.fit.signals import Stopped
from rk.recipe.foreign import HUB
from rk.recipe.model import Recipe, RunRef, Trainable, WeightsRef
from rk.recipe.stored import stored_values, trained
from rk.recipe.walk import INITIAL, named_runs, replaced
from rk.runs import RunFolder
from rk.runs.kept import RUNS, keep, place_of
from rk.values import PlainDict, Value
from rk.writing import write_atomic

Supply = Callable[[Trainable], RunFolder]
"""Returns a run of a recipe that another run begins from."""


def begin(recipe: Recipe, root: Path, supply: Supply, at: Path | None = None) -> RunFolder:
    """Makes the folder of a new run, and keeps in it the runs that it begins from; `taken_up` names them.

    Args:
        recipe: What is to be trained.
        root: The folder of all runs.
        supply: Finds or trains a run of a recipe.
        at: Where the run's folder is made; by default it has its recipe's name and the time, below `root`.

    Raises:
        RkError: When a run that it begins from cannot be trained or kept; no folder remains.
    """
    named = dict(named_runs(recipe))
    sources = {key: _source(run, supply) for key, run in named.items()}
    folder = RunFolder.begin(root, recipe.name, recipe.to_yaml(), at)
    if not named:
        return folder
    try:
        for key, source in sources.items():
            keep(source, folder, key)
        write_atomic(folder.recipe, taken_up(recipe, folder).to_yaml())
        if INITIAL in named:
            folder.update(
                init_from=_provenance(named[INITIAL], sources[INITIAL], folder.path / RUNS / place_of(INITIAL))
            )
    except RkError:
        folder.discard()
        raise
    return folder


def _source(run: RunRef, supply: Supply) -> Path:
    if run.folder is not None:
        return run.folder
    if isinstance(run, WeightsRef) and run.source.startswith(HUB):
        from rk.fit.hub import fetch

        return fetch(run.source)
    if not isinstance(run.wanted, Trainable):
        raise run.gone()
    return supply(run.wanted).path


def _provenance(run: RunRef, source: Path, kept: Path) -> PlainDict:
    """Returns where initial weights come from: the source, what is known of it, and the SHA-256 of each file."""
    found: PlainDict = {"source": run.source if isinstance(run, WeightsRef) else RunFolder(source).label}
    files = weights_files(kept)
    if (kept / "run.json").is_file():
        found["recipe"] = RunFolder(kept).info().get("name")
    if isinstance(run, WeightsRef) and run.source.startswith(HUB):
        from rk.fit.hub import commit_of

        found["revision"] = commit_of(source)
    return found | {"sha256": {str(file.relative_to(kept)): _digest(file) for file in files}}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def taken_up(recipe: Recipe, folder: RunFolder) -> Recipe:
    """Returns the recipe of a run with the runs that are kept in its folder in the place of those that it named."""

    def change(key: str, value: Value) -> Value:
        place = folder.path / RUNS / place_of(key)
        if not isinstance(value, RunRef) or not place.is_dir():
            return value
        said = f"{RUNS}/{place.name}"
        if isinstance(value, WeightsRef):
            return WeightsRef(place, said=said, source=value.source)
        return RunRef(place, value.wanted, said)

    return replaced(recipe, change)


def earlier_run(recipe: Recipe, root: Path) -> RunFolder | None:
    """Returns the newest run of the same recipe, seed and versions that is finished or can be resumed."""
    wanted, now = trained(recipe.plain()), versions(s.component.distribution for s in recipe.specs())
    for folder in reversed(list(RunFolder.all(root))):
        info = folder.info()
        if info.get("name") != recipe.name or info.get("versions") != now or not folder.recipe.is_file():
            continue
        state = folder.state(info)
        known = state == "done" or (state in ("interrupted", "stopped") and folder.checkpoint_steps())
        if known and trained(stored_values(folder)) == wanted:
            return folder
    return None


class Supplier:
    """Takes a finished run of a recipe; resumes an interrupted one; else trains one.

    Args:
        catalog: The installed components.
        root: The folder of all runs.
        say: Prints a line.
    """

    def __init__(self, catalog: Catalog, root: Path, say: Callable[[str], None]) -> None:
        self.catalog = catalog
        self.root = root
        self.say = say

    def __call__(self, wanted: Trainable) -> RunFolder:
        """Returns the run. Raises `Stopped` when a signal ends its training."""
        from rk.fit.train import train

        recipe = wanted.recipe
        folder = earlier_run(recipe, self.root)
        if folder is not None and folder.read()["status"] == "done":
            self.say(f"{recipe.name}: {folder.label} is taken")
            return folder
        if torch.distributed.is_initialized():
            raise UserError(f"there is no run of {wanted.name} yet", f"train it first: rk train {wanted.name}")
        resume = folder is not None
        folder = folder or begin(recipe, self.root, self)
        self.say(f"{recipe.name} comes first -> {folder.label}")
        outcome = train(taken_up(recipe, folder), self.catalog, folder, resume=resume)
        if outcome.exit_code != ExitCode.OK:
            raise Stopped(outcome.exit_code, f"stopped while {recipe.name} was trained; the same command resumes it")
        return folder


def only_finished(root: Path) -> Supply:
    """Returns what takes finished runs and trains none: of a dry run."""

    def supply(wanted: Trainable) -> RunFolder:
        folder = earlier_run(wanted.recipe, root)
        if folder is None or folder.read()["status"] != "done":
            raise UserError(f"there is no run of {wanted.name} yet", f"train it first: rk train {wanted.name}")
        return folder

    return supply
