"""Where the source of a module is, importing nothing but what Python's own search imports."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

from rk.reads import note


def find_source(name: str) -> Path | None:
    """Returns the source file of module `name`, importing nothing, or None."""
    found, folders = _searched(name)
    note(file=found, package=name.partition(".")[0])
    for folder in folders:
        note(folder=folder)
    return found


@functools.cache
def _searched(name: str) -> tuple[Path | None, tuple[Path, ...]]:
    """Returns the source file of a module, and the folders whose names decide which it is."""
    top, *rest = name.split(".")
    try:  # find_spec of a submodule would import its parents: only the top package is looked up
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None, ()
    if spec is None:
        return None, ()
    if not rest:
        return (Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None), ()
    folders: list[Path] = []
    for root in spec.submodule_search_locations or ():
        base = Path(root, *rest)
        folders.append(base.parent)
        for candidate in (base / "__init__.py", base.with_suffix(".py")):  # as Python's import: the package first
            if candidate.is_file():
                if candidate.name == "__init__.py":
                    folders.append(base)
                return candidate, tuple(folders)
    return None, tuple(folders)
