"""The runs that a run begins from, kept in its folder: ``from/trainer.teacher``."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

from rk.errors import RkError, RunFailed
from rk.runs.files_of_weights import is_whole, weights_in
from rk.runs.folder import RunFolder

RUNS = "from"
"""Folder of the runs that a recipe names."""
INSIDE = "inside"
"""Folder of the runs that a run has trained: students, members, candidates."""
_NEEDED = ("recipe.yaml", "run.json", "model.safetensors", "data.pt")


def place_of(key: str) -> str:
    """Returns the folder's name of the run that a recipe names at `key`."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", key)


def keep(source: Path, run: RunFolder, key: str) -> Path:
    """Keeps what is needed of a run to load it, so that `run` stays whole when that run is moved or deleted.

    Of weights outside of a run, the files are kept.

    Files are links to the same data where the file system can: files of a run are replaced, and never changed.

    Args:
        source: The folder of a run that can be loaded; or weights, as `rk.recipe.foreign` finds them.
        run: The run that begins from it.
        key: Where the recipe names it, ``trainer.teacher``.

    Returns:
        The folder, relative to that of `run`.

    Raises:
        RunFailed: When the files cannot be written.
    """
    place = Path(RUNS) / place_of(key)
    top = source.parent if source.is_file() else source
    try:
        for path in _needed(source):
            target = run.path / place / path.relative_to(top)
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(path, target)
    except OSError as error:
        raise RunFailed(f"cannot keep {source} in {run.label}: {error.strerror or error}") from None
    return place


def _needed(source: Path) -> list[Path]:
    if not (source / "run.json").is_file():
        return weights_in(source)
    files = [source / name for name in _NEEDED if (source / name).is_file()]
    within = [RUNS] if (source / "model.safetensors").is_file() else [RUNS, "checkpoints"]
    return files + [path for name in within for path in (source / name).rglob("*") if path.is_file()]


def why_not_taken(source: RunFolder) -> tuple[str, str | None] | None:
    """Returns why no new run can begin from a run, and a hint; None if one can.

    It looks at what can be seen without loading weights: the rest is found when they are loaded.
    """
    try:
        info = source.read()
    except RkError as error:
        return error.message, error.hint or "take another run"
    if not isinstance(info.get("facts"), dict) or not source.recipe.is_file():
        return f"{source.label} was never started: it has no weights", "train it first, or take another run"
    files = [source.model, *(source.checkpoint_path(step) / source.model.name for step in source.checkpoint_steps())]
    there = [file for file in files if file.is_file()]
    if not there and source.state(info) == "done":
        return f"{source.label} has lost its weights: there is no {source.model.name}", "train it again"
    if not there:
        return f"{source.label} has no weights yet", f"rk train --resume {shlex.quote(source.label)}"
    if not any(is_whole(file) for file in there):
        return f"{there[0]} cannot be read: the file is cut short, or no safetensors file", "train it again"
    return None


def _link(source: Path, target: Path) -> None:
    try:
        os.link(os.path.realpath(source), target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
