"""A recipe for other machines: files by their names alone, and nothing that tells of this machine or its user."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rk.recipe.model import Recipe, RunRef, Spec, Struct

SECTIONS = ("data", "model", "loss", "trainer", "search")

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
        runs: Key of a `Run` parameter -> where its run lies, relative to the recipe. A run that is left out is named as
            in the folder of all runs: ``recipe/time-id``.
    """
    known = runs or {}

    def value(found: Any, key: str) -> Any:
        match found:
            case Spec():
                return spec(found)
            case Struct(target=target, values=values):
                return Struct(target, value(values, key))
            case RunRef(folder=folder):
                return known.get(key) or run_name(folder)
            case Path():
                return found.name or "."
            case dict():
                return {clean(k): value(v, f"{key}.{k}") for k, v in found.items()}
            case list() | tuple():
                return type(found)(value(v, f"{key}.{i}") for i, v in enumerate(found))
        return clean(found)

    def spec(found: Spec) -> Spec:
        made = copy.copy(found)
        made.params = {k: value(v, f"{found.key}.{k}") for k, v in found.params.items()}
        made.defaults = {k: value(v, f"{found.key}.{k}") for k, v in found.defaults.items()}
        return made

    result = copy.copy(recipe)
    for section in SECTIONS:
        if (found := getattr(recipe, section)) is not None:
            setattr(result, section, spec(found))
    result.callbacks = [spec(s) for s in recipe.callbacks]
    result.metrics = {k: spec(s) for k, s in recipe.metrics.items()}
    result.about, result.paper = clean(recipe.about), clean(recipe.paper)
    result.requires = clean(recipe.requires)
    result.expect = [replace(claim, note=clean(claim.note)) for claim in recipe.expect]
    return result


def named_runs(recipe: Recipe) -> Iterator[tuple[str, Path]]:
    """Yields (key, folder) of every run that a parameter of `recipe` names: ``trainer.teacher``."""
    yield from ((key, value.folder) for key, value in _leaves(recipe) if isinstance(value, RunRef))


def named_files(recipe: Recipe) -> dict[str, str]:
    """Returns key -> name of every file or folder that a parameter of `recipe` names: ``data.path`` -> ``book.txt``."""
    return {key: value.name for key, value in _leaves(recipe) if isinstance(value, Path)}


def _leaves(recipe: Recipe) -> Iterator[tuple[str, Any]]:
    def within(value: Any, key: str) -> Iterator[tuple[str, Any]]:
        match value:
            case Spec():
                return  # it comes by itself
            case Struct(values=values):
                yield from within(values, key)
            case dict():
                for k, v in value.items():
                    yield from within(v, f"{key}.{k}")
            case list() | tuple():
                for i, v in enumerate(value):
                    yield from within(v, f"{key}.{i}")
            case _:
                yield key, value

    for spec in recipe.specs():
        for name, value in spec.params.items():
            yield from within(value, f"{spec.key}.{name}")


def run_name(folder: Path) -> str:
    """Returns how a run is called wherever it lies: ``recipe/time-id``; the folder's own name where it has another."""
    own = folder.resolve()
    return f"{own.parent.name}/{own.name}" if re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]+", own.name) else own.name


def clean(value: Any) -> Any:
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
