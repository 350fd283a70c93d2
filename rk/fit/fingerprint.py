"""Whether a run's data are still those that it began with: sizes and checksums of the files that a recipe names.

It works for every data component without its help: the host knows which of its parameters are paths.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from rk.recipe.model import Recipe, Spec
from rk.runs import Bystander, RunFolder
from rk.values import Plain, PlainDict

KEY = "data_files"
"""Their key in ``run.json``."""
MAX_HASHED = 1_000_000_000
"""Bytes of the largest file whose content is compared; of larger ones only the size is."""
MAX_ENTRIES = 200_000
"""Most files of a folder that are looked at."""


def fingerprints(recipe: Recipe) -> dict[str, PlainDict]:
    """Returns key -> name, size and SHA-256 of each file that the recipe's data names; of a folder, of its listing.

    Args:
        recipe: A checked recipe. Files that cannot be read are left out: the data report them.
    """
    return of_files(dict(_paths(recipe.data)))


def of_files(files: Mapping[str, Path]) -> dict[str, PlainDict]:
    """Returns the fingerprint of each file or folder, under the same key; those that cannot be read are left out."""
    found = {}
    for key, path in files.items():
        with contextlib.suppress(OSError):
            found[key] = _of_folder(path) if path.is_dir() else _of_file(path)
    return found


def began_with(folder: RunFolder, recipe: Recipe) -> dict[str, PlainDict]:
    """Returns what ``run.json`` keeps under `KEY`; of a run that is resumed, what it has, after a warning of changes.

    Args:
        folder: The run.
        recipe: Its recipe.
    """
    if isinstance(folder, Bystander):  # another process writes the run
        return {}
    stored = folder.info().get(KEY)
    return warn_of_changes(folder, recipe) if isinstance(stored, dict) else fingerprints(recipe)


def warn_of_changes(folder: RunFolder, recipe: Recipe) -> dict[str, PlainDict]:
    """Prints a warning for each file of the data that has changed since the run began; returns what it began with.

    Args:
        folder: The run; one of an older version has no fingerprints, and no warnings.
        recipe: Its recipe, which may name other data: a file of another name is not compared.
    """
    stored = folder.info().get(KEY)
    if not isinstance(stored, dict) or not stored:
        return {}
    for key, now in fingerprints(recipe).items():
        then = stored.get(key)
        if isinstance(then, dict) and then.get("file") == now["file"] and then != now:
            text = f"{key}: {now['file']} has changed since the run began ({_change(then, now)})"
            print(f"warning: {text}; numbers are not comparable", file=sys.stderr)
    return stored


def _change(then: PlainDict, now: PlainDict) -> str:
    for name, unit in (("files", "files"), ("size", "bytes")):
        if then.get(name) != now.get(name):
            return f"{then.get(name)} {unit} then, {now.get(name)} now"
    return "another content of the same size"


def _paths(value: Plain, key: str = "data") -> Iterator[tuple[str, Path]]:
    """Yields the keys and the values of all paths among the parameters of a component."""
    if isinstance(value, Path):
        yield key, value
    elif isinstance(value, Spec):
        for name, inner in value.params.items():
            yield from _paths(inner, f"{key}.{name}")
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _paths(inner, f"{key}.{name}")
    elif isinstance(value, list | tuple):
        for i, inner in enumerate(value):
            yield from _paths(inner, f"{key}.{i}")


def _of_file(path: Path) -> PlainDict:
    status = path.stat()
    digest = None
    if path.is_file() and status.st_size <= MAX_HASHED:
        digest = _sha256(path, status.st_size, status.st_mtime_ns)
    return {"file": path.name, "size": status.st_size, "sha256": digest}


@functools.lru_cache(maxsize=256)
def _sha256(path: Path, size: int, changed: int) -> str:
    """Returns the checksum of a file, which is read once in a process unless it changes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _of_folder(path: Path) -> PlainDict:
    """Returns the fingerprint of a folder: of the names and sizes of its files, whose content would take too long."""
    listing: list[str] = []
    total = 0
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            file = Path(folder, name)
            size = file.lstat().st_size
            listing.append(f"{file.relative_to(path).as_posix()}\0{size}\n")
            total += size
        if len(listing) > MAX_ENTRIES:
            break
    digest = hashlib.sha256("".join(listing).encode(errors="surrogateescape")).hexdigest()
    return {"file": path.name, "files": len(listing), "size": total, "sha256": digest}
