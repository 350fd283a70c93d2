"""A recipe for other machines: files by their names alone, and nothing that identifies this machine or its user."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rk.recipe.model import Recipe, RunRef, Wanted, WeightsRef
from rk.recipe.walk import leaves, replaced

_PATH_IN_TEXT = re.compile(
    r"""(?<![\w.:/~\\-])           # neither a URL, nor a relative path, nor "and/or"
        (?:~[\w.-]*/|/|[A-Za-z]:[\\/])  # of a home, absolute, or of a Windows drive
        [^\s'"`<>|,;()\[\]{}]+""",
    re.VERBOSE,
)
_WHOLE = re.compile(r"(?:~[\w.-]*/|/|[A-Za-z]:[\\/]).*[\w.-]", re.DOTALL)


def portable(recipe: Recipe, runs: Mapping[str, str] | None = None) -> Recipe:
    """Returns a copy of `recipe` without a path of this machine.

    Args:
        recipe: A checked recipe.
        runs: Key of a `Run` parameter -> where its run is, relative to the recipe. A run that is left out is named as
            in the folder of all runs: ``recipe/time-id``.
    """
    known = runs or {}

    def change(key: str, found: object) -> Any:
        if isinstance(found, WeightsRef):
            return WeightsRef(None, said=clean(found.source), source=clean(found.source))
        if isinstance(found, RunRef):
            wanted = found.wanted and Wanted(clean(found.wanted.name), clean(found.wanted.overrides))
            folder = found.folder
            return RunRef(folder, wanted, known.get(key) or (None if folder is None else run_name(folder)))
        return found.name or "." if isinstance(found, Path) else clean(found)

    result = replaced(recipe, change, clean)
    result.about, result.paper = clean(recipe.about), clean(recipe.paper)
    result.requires = clean(recipe.requires)
    result.expect = [replace(claim, note=clean(claim.note)) for claim in recipe.expect]
    return result


def named_files(recipe: Recipe) -> dict[str, str]:
    """Returns key -> name of every file or folder that a parameter of `recipe` names: ``data.path`` -> ``book.txt``."""
    return {key: value.name for key, value in leaves(recipe) if isinstance(value, Path)}


def run_name(folder: Path) -> str:
    """Returns the name of a run in any place: ``recipe/time-id``; the folder's own name where it has another."""
    own = folder.resolve()
    return f"{own.parent.name}/{own.name}" if re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]+", own.name) else own.name


def clean(value: object) -> Any:
    """Returns plain values, however nested, with the name alone in place of each absolute path in their texts."""
    match value:
        case str():
            if _WHOLE.fullmatch(value) and _of_this_machine(value):
                return _name(value)
            return _PATH_IN_TEXT.sub(lambda m: _name(m[0]) if _of_this_machine(m[0]) else m[0], value)
        case Path():
            return value.name or "."
        case dict():
            return {clean(k): clean(v) for k, v in value.items()}
        case list() | tuple():
            return type(value)(clean(v) for v in value)
    return value


def _of_this_machine(text: str) -> bool:
    """Whether a text that looks like an absolute path begins in a folder that this machine has."""
    if not text.startswith("/"):
        return True
    first = text.split("/")[1]
    return bool(first) and (Path("/", first).exists() or text.startswith(("/home/", "/Users/")))


def _name(path: str) -> str:
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1]
