"""Checkpoints: everything that a run needs to resume bit-equal."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from rk.errors import RunFailed
from rk.fit.archive import read_archive
from rk.fit.weights import is_shared, load_weights, save_weights
from rk.protocols import State
from rk.runs import RunFolder
from rk.writing import write_atomic


def write_checkpoint(
    folder: RunFolder,
    step: int,
    weights: Mapping[str, Tensor],
    state: State,
    best: int | None,
    *,
    read_back: bool = False,
    keep: int = 1,
) -> Path:
    """Writes a checkpoint beside the old ones, then gives it its name.

    Args:
        folder: The run.
        step: The step that the run has reached.
        weights: All that is learned, by name.
        state: Everything else: tensors and plain values.
        best: The step whose checkpoint is kept beside this one.
        read_back: Reads the file of the state once, to be sure that it can be read.
        keep: How many of the last checkpoints are kept, this one included.

    Raises:
        RunFailed: When the disk is full or the folder cannot be written; the last checkpoint is untouched.
    """
    beside = folder.scratch(step)
    try:
        save_weights(weights, beside / "model.safetensors")
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomic(beside / "state.pt", buffer.getvalue())
        if read_back:
            _read_state(beside / "state.pt")
        return folder.publish_checkpoint(beside, step, best, keep)
    except (OSError, RunFailed) as error:
        shutil.rmtree(beside, ignore_errors=True)
        kept = folder.checkpoint_steps()
        hint = f"the checkpoint of step {kept[-1]} is kept" if kept else None
        reason = error.message if isinstance(error, RunFailed) else error.strerror or error
        raise RunFailed(f"the checkpoint of step {step} could not be written: {reason}", hint) from None


def read_checkpoint(folder: RunFolder, step: int, learner: nn.Module) -> State:
    """Loads the weights of a checkpoint into `learner` and returns its state.

    Raises:
        RunFailed: When a file is cut short or holds more than tensors and plain values.
    """
    state = read_state(folder, step)
    load_weights(learner, folder.checkpoint_path(step) / "model.safetensors")
    return state


def read_state(folder: RunFolder, step: int) -> State:
    """Returns what a checkpoint holds besides the weights. Raises `RunFailed` when it cannot be read."""
    return _read_state(folder.checkpoint_path(step) / "state.pt")


def _read_state(path: Path) -> State:
    try:
        state = read_archive(path)
    except Exception as error:  # pickle, zip and torch each raise their own
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise RunFailed(f"{path} cannot be read: {reason}") from None
    if not isinstance(state, dict):
        raise RunFailed(f"{path} cannot be read: it must hold a dict, got {type(state).__name__}")
    return state


def read_last_checkpoint(folder: RunFolder, learner: nn.Module) -> tuple[int, State]:
    """Loads the newest checkpoint that can be read; prints a line for each that had to be passed over.

    Raises:
        RunFailed: When there is none.
    """
    passed_over: list[str] = []
    for step in reversed(folder.checkpoint_steps()):
        try:
            state = read_checkpoint(folder, step, learner)
        except RunFailed as error:
            passed_over.append(error.message)
            continue
        if passed_over:
            print(f"warning: {'; '.join(passed_over)}; using the checkpoint of step {step}", file=sys.stderr)
        return step, state
    reason = f": {'; '.join(passed_over)}" if passed_over else ""
    raise RunFailed(f"{folder.label} has no checkpoint that can be read{reason}", "train again from its recipe.yaml")


def weights_file(folder: RunFolder) -> Path:
    """Returns the file with the weights of a run: its result; of one that has not ended, the best or last checkpoint.

    Raises:
        RunFailed: When the run has none.
    """
    steps = folder.checkpoint_steps()
    if folder.model.exists() and (folder.info().get("status") == "done" or not steps):
        return folder.model
    if not steps:
        raise RunFailed(f"{folder.label} has no weights yet", "train it first, or resume it: rk train --resume")
    best = folder.best_step()
    return folder.checkpoint_path(steps[-1] if best is None else best) / "model.safetensors"


def all_finite(learner: nn.Module) -> bool:
    """Whether every parameter is finite."""
    own = [p.to_local() if is_shared(p) else p for p in learner.parameters() if p.is_floating_point()]
    largest = [p.detach().abs().max() for p in own if p.numel()]
    return not largest or bool(torch.stack(largest).isfinite().all())
