"""The files of an index: JSON with a digest in its first line, so that a damaged one is none."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from rk.files import cache_folder
from rk.index.stamps import digest
from rk.record import record
from rk.values import Plain, PlainDict

NO_INDEX_VARIABLE = "RK_NO_INDEX"
MAX_ENVIRONMENTS = 16
"""Environments whose indexes are kept; the one that was written longest ago goes first."""


@record
class Index:
    """The index of one environment.

    Attributes:
        folder: The folder of its files.
        code: A digest of the host's own sources: another one reads sources and recipes differently.
        paths: A digest of what can be imported.
    """

    folder: Path
    code: str
    paths: str


def folder_of(key: list[Plain]) -> Path | None:
    """Returns the folder of an environment's index; None if it is turned off or there is no place for it."""
    if os.environ.get(NO_INDEX_VARIABLE):
        return None
    try:
        return cache_folder() / "index" / digest(json.dumps(key))
    except (OSError, RuntimeError, ValueError):  # a user without a home
        return None


def read(path: Path) -> PlainDict | None:
    """Returns what `write` has written; None where there is nothing that can be used, whatever the reason."""
    try:
        with open(path, encoding="ascii") as file:
            first, text = file.readline().rstrip("\n"), file.read()
        found = json.loads(text) if digest(text) == first else None
    except (OSError, ValueError, RecursionError, MemoryError):
        return None
    return found if isinstance(found, dict) else None


def write(path: Path, value: PlainDict) -> None:
    """Replaces `path` by `value`. Where it cannot be written, nothing happens."""
    from rk.errors import RkError
    from rk.writing import write_atomic

    with contextlib.suppress(OSError, ValueError, TypeError, RecursionError, RkError):
        text = json.dumps(value, separators=(",", ":"))
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True)
            _remove_oldest(path.parent)
        write_atomic(path, f"{digest(text)}\n{text}")


def _remove_oldest(folder: Path) -> None:
    """Removes the indexes of environments that were not written to for long."""
    import shutil

    others = sorted((p for p in folder.parent.iterdir() if p != folder), key=lambda p: p.stat().st_mtime)
    for path in others[: max(0, len(others) + 1 - MAX_ENVIRONMENTS)]:
        shutil.rmtree(path, ignore_errors=True)
