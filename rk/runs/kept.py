"""The runs that a run begins from, kept in its folder: ``from/trainer.teacher``."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from pathlib import Path

from rk.errors import RkError, RunFailed
from rk.runs.folder import RunFolder

RUNS = "from"
"""Folder of the runs that a recipe names."""
INSIDE = "inside"
"""Folder of the runs that a run has trained: students, members, candidates."""
_NEEDED = ("recipe.yaml", "run.json", "model.safetensors", "data.pt")


def place_of(key: str) -> str:
    """Returns the folder's name of the run that a recipe names at `key`."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", key)


def keep(source: RunFolder, run: RunFolder, key: str) -> Path:
    """Keeps what is needed of a run to load it, so that `run` stays whole when that run is moved or deleted.

    Files are links to the same data where the file system can: files of a run are replaced, and never changed.

    Args:
        source: A run that can be loaded.
        run: The run that begins from it.
        key: Where the recipe names it, ``trainer.teacher``.

    Returns:
        The folder, relative to that of `run`.

    Raises:
        RunFailed: When the files cannot be written.
    """
    place = Path(RUNS) / place_of(key)
    files = [source.path / name for name in _NEEDED if (source.path / name).is_file()]
    within = [RUNS] if source.model.is_file() else [RUNS, "checkpoints"]
    files += [path for name in within for path in (source.path / name).rglob("*") if path.is_file()]
    try:
        for path in files:
            target = run.path / place / path.relative_to(source.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(path, target)
    except OSError as error:
        raise RunFailed(f"cannot keep {source.label} in {run.label}: {error.strerror or error}") from None
    return place


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
    if not any(_is_whole(file) for file in there):
        return f"{there[0]} cannot be read: the file is cut short, or no safetensors file", "train it again"
    return None


def _is_whole(file: Path) -> bool:
    """Whether a safetensors file has the length that its head gives."""
    try:
        with open(file, "rb") as content:
            length = int.from_bytes(content.read(8), "little")
            size = os.fstat(content.fileno()).st_size
            if not 2 <= length <= size - 8:
                return False
            head = json.loads(content.read(length))
        ends = [entry["data_offsets"][1] for name, entry in head.items() if name != "__metadata__"]
        return size == 8 + length + max(ends, default=0)
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError):
        return False


def _link(source: Path, target: Path) -> None:
    try:
        os.link(os.path.realpath(source), target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
