"""Runs a checked recipe, or continues a run, in this process, which is left as it was."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rk.catalog import Catalog
from rk.errors import ExitCode, printable_lines, with_hints
from rk.recipe.given import override_texts, placed_marks
from rk.recipe.stored import lengthens, read_stored
from rk.runs import RunFolder
from rk.verbosity import is_quiet, quieted

if TYPE_CHECKING:
    from rk.recipe.model import Recipe


def trained(recipe: Recipe, catalog: Catalog, root: Path, progress: bool) -> tuple[RunFolder, ExitCode]:
    """Trains a recipe in a new folder below `root`; returns the folder, and the code of a signal that stopped it."""
    from rk.fit.begin import Supplier, begin, taken_up
    from rk.fit.train import train as fit
    from rk.fit.unchanged import unchanged
    from rk.report.text import titled

    with unchanged(), quieted(not progress):
        folder = begin(recipe, root, Supplier(catalog, root, _say))
        folder.update(overrides=recipe.overrides)
        _say(f"{titled(recipe.name, recipe.overrides)} -> {folder.label}")
        return folder, fit(taken_up(recipe, folder), catalog, folder).exit_code


def continued(folder: RunFolder, progress: bool, overrides: Mapping[str, Any]) -> ExitCode:
    """Continues a run; see `rk.api.run.StoredRun.resume`. Returns the code of a signal that stopped it."""
    from rk.fit.train import train as fit
    from rk.fit.unchanged import unchanged

    catalog = Catalog()
    with with_hints():
        folder.refuse_if_active()
        if folder.state() == "done" and not overrides:
            return ExitCode.OK
        with placed_marks():
            texts = override_texts(overrides)
            recipe = read_stored(folder, texts, catalog, resuming=True)
        with unchanged(), quieted(not progress):
            extend = lengthens(texts, recipe, catalog)
            return fit(recipe, catalog, folder, resume=True, extend=extend, overrides=texts).exit_code


def _say(text: str) -> None:
    if not is_quiet():
        print(printable_lines(text), flush=True)
