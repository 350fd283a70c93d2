"""`rk reproduce` from a program: recipes are trained, and the verdicts come back as plain rows."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rk.catalog import Catalog
from rk.errors import printable_lines, with_hints
from rk.recipe import check_recipe
from rk.recipe.find import RecipeFile
from rk.reproduce.ledger import ledger
from rk.reproduce.plan import logged_claims, plan, to_train
from rk.reproduce.results import Store
from rk.runs import RUNS_VARIABLE, default_root
from rk.values import PlainDict
from rk.verbosity import is_quiet, quieted

if TYPE_CHECKING:
    from rk.reproduce.runner import Runner


def reproduce(
    recipes: str | Path | Iterable[str | Path],
    *,
    seeds: int = 1,
    reuse: bool = False,
    stored: bool = False,
    runs_dir: str | Path | None = None,
    progress: bool = True,
) -> list[PlainDict]:
    """Trains recipes and their baselines, and judges what they claim.

    Args:
        recipes: A recipe, a plugin's name, a folder of recipes, ``all``, or several of them.
        seeds: Runs per recipe, whose mean is judged.
        reuse: Takes finished runs of the same recipe and versions, and resumes stopped ones.
        stored: Trains nothing: judges the results that are stored.
        runs_dir: The folder of all runs; by default `RK_RUNS`, else ``./runs``.
        progress: Whether progress is shown.

    Returns:
        One row per claim, with the keys of `rk reproduce --json`: recipe, claim, paper's value, reached, verdict.

    Raises:
        UserError: When nothing is claimed, or a recipe is wrong.
        RunFailed: When a training goes wrong.
        KeyboardInterrupt: When Ctrl-C stops a training; ``reuse=True`` resumes it.
    """
    root, catalog = default_root() if runs_dir is None else Path(runs_dir), Catalog()
    targets = (recipes,) if isinstance(recipes, str | os.PathLike) else tuple(recipes)
    store = Store(
        root,
        elsewhere=bool(runs_dir or os.environ.get(RUNS_VARIABLE)),
        shipped={plugin.recipes.resolve() for plugin in catalog.plugins if plugin.recipes is not None},
    )
    with with_hints():
        items = plan(tuple(os.fspath(target) for target in targets), catalog)
        files = {file.name: file for item in items for file in (item.file, *item.baselines.values())}
        for file in files.values():
            store.path(file)  # a missing place is reported before anything is trained
        if not stored:
            from rk.reproduce.runner import Runner

            _train(to_train(items)[0], logged_claims(items), store, Runner(catalog, root, seeds, reuse, _say), progress)
        results = store.read(files.values())
        current = {
            name: results[name].is_of(check_recipe(file, (), catalog).valid())
            for name, file in files.items()
            if name in results
        }
        return [line.plain() for item in items for line in ledger(item, results, current)]


def _train(files: Iterable[RecipeFile], logged: list[str], store: Store, runner: Runner, progress: bool) -> None:
    from rk.fit.unchanged import unchanged
    from rk.reproduce.runner import Stopped

    with unchanged(), quieted(not progress):
        for file in files:
            try:
                store.add(file, runner.measure(file, logged))
            except Stopped as stop:
                raise KeyboardInterrupt(f"stopped in {stop}; reuse=True resumes it") from None


def _say(text: str) -> None:
    if not is_quiet():
        print(printable_lines(text), flush=True)
