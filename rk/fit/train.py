"""`train`: a recipe in its folder, in this process or in several, and what is noted of a run that fails."""

from __future__ import annotations

import contextlib
import os
import traceback
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import torch

from rk.blame import explain
from rk.catalog import Catalog
from rk.errors import RkError, RunFailed, UserError
from rk.fit.loop import Loop, Outcome
from rk.fit.signals import StopSignal
from rk.recipe.model import Recipe
from rk.recipe.sections import Fit
from rk.recipe.stored import read_stored
from rk.runs import Bystander, RunFolder
from rk.runs.kept import INSIDE


def train(
    recipe: Recipe,
    catalog: Catalog,
    folder: RunFolder,
    *,
    resume: bool = False,
    extend: bool = False,
    overrides: tuple[str, ...] = (),
    text: str | None = None,
    signal: StopSignal | None = None,
) -> Outcome:
    """Runs `recipe` in `folder`, from the start or from its last checkpoint.

    Args:
        recipe: What to run.
        catalog: The installed components.
        folder: Where the run is kept.
        resume: Continues from the last checkpoint; from the start, if the run was stopped before its first one.
        extend: Continues although the run had ended: it has been given more steps.
        overrides: What `recipe` changes of the recipe in the folder, for the processes that are started.
        text: The recipe as it is stored, where that is not the one that runs.
        signal: Of the run that this one is trained within: it ends both, and only the outer one is shown.

    Raises:
        UserError: When the input turns out to be wrong (a claim on an unknown metric, a missing file).
        RunBusy: When another process trains this run.
        RunFailed: When the run went wrong; the folder records it and keeps its last good checkpoint.
    """
    text = recipe.to_yaml() if text is None else text
    if (recipe.fit.devices, recipe.fit.nodes) != (1, 1) and not torch.distributed.is_initialized():
        from rk.fit.launch import device_count, run_processes

        devices = device_count(recipe.fit)
        recipe.fit = replace(recipe.fit, devices=devices)
        if recipe.fit.nodes > 1:
            raise UserError(
                f"fit.nodes is {recipe.fit.nodes}", "on each machine: torchrun --nnodes ... -m rk train ..."
            )
        if devices > 1:
            folder.refuse_if_active()
            arguments = (folder.path, text, resume, extend, overrides)
            try:
                found = run_processes(recipe.fit, _one_of_several, catalog, *arguments)
            except (RkError, KeyboardInterrupt) as error:
                return _failed(folder, error, begun=resume or folder.info().get("status") != "starting")
            return Outcome(folder, found.metrics, found.exit_code, found.steps)
    with folder.owned():
        loop = Loop(recipe, catalog, folder, text, inner=signal is not None)
        try:
            if signal is not None:
                return loop.run(signal, resume, extend)
            with StopSignal() as own:
                return loop.run(own, resume, extend)
        except BaseException as error:
            begun = resume or loop.began or (folder.path / INSIDE).exists()
            return _failed(folder, loop.explained(error, resume), begun)
        finally:
            loop.progress.stop()


def _one_of_several(
    fit: Fit, catalog: Catalog, path: Path, text: str, resume: bool, extend: bool, overrides: tuple[str, ...]
) -> Outcome:
    """Runs the recipe in the folder `path` as one of several processes, which have their process group."""
    folder = RunFolder(path) if torch.distributed.get_rank() == 0 else Bystander(path)
    recipe = read_stored(folder, overrides, catalog, resuming=resume)
    recipe.fit = fit
    return train(recipe, catalog, folder, resume=resume, extend=extend, text=text)


def _failed(folder: RunFolder, error: BaseException, begun: bool) -> NoReturn:
    """Records in the run how it ended and raises `error`; a run that took no step is removed."""
    watched = torch.distributed.is_initialized() and "TORCHELASTIC_RUN_ID" not in os.environ
    if isinstance(error, UserError | KeyboardInterrupt) and not begun:
        if not watched:  # else the process that started this one sees to it
            folder.discard()
        raise error
    _note_failure(folder, error)
    raise error


def _note_failure(folder: RunFolder, error: BaseException) -> None:
    """Writes into the run how it ended, as far as the disk allows: a failure to write must not hide the error."""
    with contextlib.suppress(RunFailed, OSError):
        if isinstance(error, KeyboardInterrupt):
            folder.update(status="interrupted", owner=None)
        else:
            own = isinstance(error, RkError)
            reason = f"{type(error).__name__}: {error}" if own else explain(error).message.partition("\n")[0]
            folder.update(status="failed", error=reason, owner=None)
        bug = isinstance(error, Exception) and not isinstance(error, RkError)  # of a plugin or of rk
        if bug and not folder.traceback.exists():  # of several processes, the others fail because the first one did
            folder.traceback.write_text(traceback.format_exc(), encoding="utf-8")
