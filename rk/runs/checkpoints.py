"""The folder ``checkpoints/`` of a run: how a checkpoint takes the place of another without a moment of having none.

::

    00000400/          the checkpoint of step 400
    .tmp-00000400-77/  being written by process 77
    .old-00000400/     the one that had the name before, until the new one has it
    index.json         which step is the best by `fit.monitor`

A kill may leave any of these. `published` reads all of them; `settle` puts them in order, once a process owns the run.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from rk.errors import RunFailed
from rk.writing import remove_half_written, sync_folder, write_atomic

FILES = ("model.safetensors", "state.pt")
"""The files of a complete checkpoint. Each is put in place by a rename, so an existing one is whole."""
INDEX = "index.json"
_NAME = re.compile(r"(?P<kind>|\.old-|\.tmp-)(?P<step>\d{8,})(-\d+)?")


def published(folder: Path) -> dict[int, Path]:
    """Returns step -> folder of the complete checkpoints, oldest first.

    A step that has no checkpoint under its own name is looked for among what a kill left behind.
    """
    found: dict[int, Path] = {}
    for _kind, step, path in sorted(_entries(folder), reverse=True):  # ".tmp-", ".old-", "": the last one counts
        if all((path / name).is_file() for name in FILES):
            found[step] = path
    return dict(sorted(found.items()))


def path_of(folder: Path, step: int) -> Path:
    """Returns where the checkpoint of `step` is, or would be."""
    return published(folder).get(step, _own_name(folder, step))


def best_step(folder: Path) -> int | None:
    """Returns the step of the best checkpoint by `fit.monitor`, if one was kept."""
    try:
        best: int | None = json.loads((folder / INDEX).read_text(encoding="utf-8"))["best"]
        return best
    except (OSError, ValueError, KeyError, TypeError):
        return None


def scratch(folder: Path, step: int) -> Path:
    """Returns an empty folder in which the checkpoint of `step` is written before it is published.

    Raises:
        RunFailed: When the folder cannot be made, or the whole run is gone.
    """
    path = folder / f".tmp-{step:08d}-{os.getpid()}"
    try:
        if not folder.is_dir():
            folder.mkdir()  # without its parents: a run that has been deleted must not come back
        if path.exists():
            _remove(path, ignore_errors=False)
        path.mkdir()
    except OSError as error:
        raise RunFailed(f"cannot write a checkpoint to {folder}: {error.strerror}") from None
    return path


def publish(folder: Path, beside: Path, step: int, best: int | None, keep: int = 1) -> Path:
    """Gives the finished folder `beside` the name of its step; drops all but the last `keep` and the best.

    At every moment there is a complete checkpoint of this step or of an earlier one, in a place where `published`
    finds it.
    """
    target, old = _own_name(folder, step), folder / f".old-{step:08d}"
    if target.exists():
        _remove(old)
        os.rename(target, old)
    os.rename(beside, target)
    sync_folder(folder)
    write_atomic(folder / INDEX, json.dumps({"last": step, "best": best}) + "\n")
    entries = list(_entries(folder))
    before = sorted({other for kind, other, _ in entries if kind == "" and other < step})
    kept = {step, best, *before[len(before) - min(keep - 1, len(before)) :]}
    for kind, other, path in entries:
        if kind != "" or other not in kept:
            _remove(path)
    return target


def settle(folder: Path) -> None:
    """Gives what a kill left behind the name of its step, where that is free, and removes the rest."""
    for step, path in published(folder).items():
        if path != _own_name(folder, step):
            os.rename(path, _own_name(folder, step))
    for kind, _, path in list(_entries(folder)):
        if kind != "":
            _remove(path)
    remove_half_written(folder)


def _own_name(folder: Path, step: int) -> Path:
    return folder / f"{step:08d}"


def _entries(folder: Path) -> Iterator[tuple[str, int, Path]]:
    """Yields kind, step and path of the checkpoints in `folder`; a link is none."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _NAME.fullmatch(entry.name)
            if match and entry.is_dir(follow_symlinks=False):
                yield match["kind"], int(match["step"]), Path(entry.path)


def _remove(path: Path, *, ignore_errors: bool = True) -> None:
    import shutil  # with all that packs archives: listings read checkpoints and remove none

    shutil.rmtree(path, ignore_errors=ignore_errors)
