"""The recipe of a run, read again: only what cannot change the weights may be overridden."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rk.catalog import Catalog
from rk.errors import Mark, Problem, RecipeError
from rk.recipe.check import read_recipe
from rk.recipe.components import class_literal
from rk.recipe.find import RecipeFile
from rk.recipe.model import Recipe
from rk.recipe.tree import plain_value, read_tree
from rk.runs import RunFolder
from rk.static.types import takes_path
from rk.values import Plain, PlainDict, Value

RESUMABLE = (
    *("max_steps", "max_epochs", "max_time", "early_stopping", "early_stopping.patience", "early_stopping.min_delta"),
    *("checkpoint_every", "keep_checkpoints", "log_every", "workers", "threads"),
)
"""Keys of `fit` that `rk train --resume` may change; a trainer or a search names others in ``resumable``."""
_SAYS_NOTHING = ("rk", "about", "paper", "requires", "expect")
"""Keys of a recipe that do not change what it trains."""
LENGTHS = (
    *("fit.max_steps", "fit.max_epochs", "fit.max_time"),
    *("fit.early_stopping", "fit.early_stopping.patience", "fit.early_stopping.min_delta"),
)


def read_stored(folder: RunFolder, overrides: tuple[str, ...], catalog: Catalog, *, resuming: bool = False) -> Recipe:
    """Reads the recipe in a run folder.

    Args:
        folder: The run.
        overrides: ``key=value``: `Decode` parameters, the data's and `fit.accelerator` where a run is loaded; some keys
            of `fit`, and what the algorithm calls ``resumable``, where it is resumed.
        catalog: The installed components.
        resuming: Whether the run is resumed.

    Raises:
        RecipeError: When the recipe no longer checks, or an override could change the weights.
    """
    file = RecipeFile(folder.recipe)
    recipe, problems = read_recipe(
        file, overrides, catalog, run_finder=lambda text: _run_beside(folder, text), stored=True
    )
    for override in overrides:
        key = override.partition("=")[0]
        resumable = [f"fit.{name}" for name in RESUMABLE] + _resumable(recipe, catalog) + _files(recipe, catalog)
        if not (key in resumable if resuming else is_harmless(key, recipe)):
            hint = f"only {', '.join(resumable)}" if resuming else f"only data.* and decoding{_decodes(recipe)}"
            problems.append(Problem(Mark(f"command line: {override}"), key, "can no longer be changed", hint))
    if problems:
        raise RecipeError(problems)
    recipe.name = folder.read().get("name", recipe.name)
    return recipe


def _run_beside(folder: RunFolder, text: str) -> Path:
    """Returns the folder of a run that a stored recipe names: within its own folder, or where it was."""
    inside = folder.path / text
    return inside if (inside / "run.json").is_file() else Path(text)


def _resumable(recipe: Recipe, catalog: Catalog) -> list[str]:
    """Returns the algorithm's own keys that may change when a run is resumed, such as a budget."""
    spec = recipe.algorithm
    if spec is None:
        return []
    return [f"{spec.key}.{name}" for name in class_literal(catalog.info(spec.component), "resumable")]


def _files(recipe: Recipe, catalog: Catalog) -> list[str]:
    """Returns the keys of the data that name files: on another machine they are elsewhere."""
    spec = recipe.data
    if spec is None:
        return []
    return [f"{spec.key}.{p.name}" for p in catalog.signature(spec.component).params if takes_path(p.type)]


def lengthens(overrides: tuple[str, ...], recipe: Recipe, catalog: Catalog) -> bool:
    """Whether an override gives the run another length: steps, epochs, or what the algorithm calls ``resumable``."""
    keys = {override.partition("=")[0].lstrip("~") for override in overrides}
    return bool(keys & {*LENGTHS, *_resumable(recipe, catalog)})


def stored_values(folder: RunFolder) -> PlainDict:
    """Returns the recipe in a run folder as plain values, unchecked (its plugins may be gone); {} where it has none."""
    if not folder.recipe.is_file():
        return {}
    tree, _ = read_tree(folder.recipe, folder.label)
    values: PlainDict = plain_value(tree)
    return values


def trained(values: Mapping[str, Plain]) -> PlainDict:
    """Returns the part of a recipe's plain values that decides what it trains: all but claims and words.

    A run that is named by its recipe counts as that recipe: where its copy is kept makes no difference.
    """
    return {k: _without_folders(v) for k, v in values.items() if k not in _SAYS_NOTHING}


def _without_folders(value: Value) -> Value:
    if isinstance(value, dict):
        named = isinstance(value.get("recipe"), str) and "name" not in value
        return {k: _without_folders(v) for k, v in value.items() if not (named and k == "run")}
    return [_without_folders(v) for v in value] if isinstance(value, list | tuple) else value


def is_harmless(key: str, recipe: Recipe) -> bool:
    """Whether a run can be loaded with another value of `key`: it has no effect on weights."""
    if key in ("fit.accelerator", "fit.threads", "fit.validate_batches", "fit.precision"):
        return True
    if key.startswith("data.") and key != "data.name":
        return True
    return any(key == f"{spec.key}.{name}" for spec in recipe.specs() for name in spec.decodes)


def _decodes(recipe: Recipe) -> str:
    names = [f"{spec.key}.{name}" for spec in recipe.specs() for name in sorted(spec.decodes)]
    return f" ({', '.join(names)})" if names else ""
