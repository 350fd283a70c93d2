"""The runs that a run begins from, kept in its folder: ``from/trainer.teacher``."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from rk.errors import RunFailed
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


def _link(source: Path, target: Path) -> None:
    try:
        os.link(os.path.realpath(source), target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
