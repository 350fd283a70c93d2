"""Training from a program: in this process, which is left as it was."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rk.api.run import StoredRun, ended
from rk.api.training import trained
from rk.catalog import Catalog
from rk.errors import UserError, with_hints
from rk.recipe.check import check_recipe
from rk.recipe.find import RecipeFile, find_recipe
from rk.recipe.given import SOURCE, GivenRecipe, override_texts, placed_marks
from rk.runs import RunFolder, default_root

Given = str | Path | Mapping[str, Any]
"""A recipe: its name, its path, or what its file would hold."""


def train(
    recipe: Given,
    *,
    runs_dir: str | Path | None = None,
    name: str | None = None,
    progress: bool = True,
    **overrides: Any,
) -> StoredRun:
    """Trains a recipe and returns its run.

    The random generators of Python, NumPy and torch, torch's threads and the handlers of signals are afterwards as they
    were. The weights are those of `rk train`, bit for bit.

    Args:
        recipe: A packaged recipe (``plugin/name``, or just the name), a path that ends in ``.yaml``, or a dict with
            what such a file holds.
        runs_dir: The folder of all runs; by default `RK_RUNS`, else ``./runs``.
        name: What the run is called; by default the recipe's name, and ``recipe`` for a dict.
        progress: Whether progress is shown: in a notebook a bar, on a terminal a bar, elsewhere lines.
        overrides: Keys of the recipe. A dict is laid over what is there: ``fit={"max_steps": 10}``; another component
            drops the parameters of the old one: ``model={"name": "mlp"}``. Keys with dots are those of the command
            line: ``**{"fit.max_steps": 10}``. None leaves a key out.

    Raises:
        RecipeError: With all mistakes of the recipe, each with its key.
        UserError: When there is no such recipe, or a file that it names is missing.
        RunFailed: When the training goes wrong; the run is kept.
        Interrupted: When Ctrl-C or another signal stops it after a step; its run is kept and can be resumed.
    """
    with with_hints():
        root = default_root() if runs_dir is None else Path(runs_dir)
        catalog = Catalog()
        with placed_marks():
            checked = check_recipe(
                _file(recipe, name, catalog),
                override_texts(overrides),
                catalog,
                run_finder=lambda text: RunFolder.find(text, root).path.resolve(),
            )
            found = checked.valid()
        if name is not None:
            found.name = _checked_name(name)
        for warning in checked.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        folder, code = trained(found, catalog, root, progress)
    return ended(StoredRun(folder.path), code)


def _file(recipe: Given, name: str | None, catalog: Catalog) -> RecipeFile:
    if isinstance(recipe, Mapping):
        return GivenRecipe(recipe, name or SOURCE)
    if not isinstance(recipe, str | os.PathLike):
        raise UserError(f"a recipe is a name, a path or a dict, got {type(recipe).__name__}")
    return find_recipe(os.fspath(recipe), catalog.plugins)


def _checked_name(name: str) -> str:
    if not name.replace("/", "").strip(". ") or not name.isprintable():
        raise UserError(f"a run cannot be called {name!r}", "give letters, digits and hyphens")
    return name
