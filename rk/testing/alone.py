"""Searches, analyses and callbacks that no recipe of their plugin uses: each is run beside one of its recipes."""

from __future__ import annotations

import contextlib
import functools
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from rk.catalog import Catalog
from rk.errors import UserError
from rk.fit.build import Builder
from rk.fit.loaded import LoadedRun
from rk.fit.returns import check_numbers
from rk.fit.rng import forked
from rk.plugins import Component
from rk.recipe import Recipe, check_search
from rk.recipe.check import Checked
from rk.recipe.digest import digest
from rk.recipe.find import RecipeFile
from rk.static.signature import Param
from rk.static.types import ListType, RunType, TupleType, UnionType
from rk.testing import checks
from rk.testing.broken import Broken, NotApplicable
from rk.testing.trial import MEASURED, Ended, Trial
from rk.values import PlainDict

KINDS = ("search", "analysis", "callback")


def unused(components: Iterable[Component], recipes: Iterable[RecipeFile], catalog: Catalog) -> list[Component]:
    """Returns the components of those kinds that none of the recipes names."""
    named = {name for file in recipes for name in digest(file, catalog.plugins, catalog).names}
    return [c for c in components if c.kind in KINDS and (c.kind == "analysis" or c.name not in named)]


def run_alone(
    component: Component,
    samples: list[RecipeFile],
    trial: Callable[[RecipeFile], Trial],
    whole: Callable[[RecipeFile], Ended],
    sizes: tuple[str, ...] = (),
) -> None:
    """Runs a component with a recipe of its plugin: killed and resumed, where it has steps.

    Args:
        component: A search, an analysis or a callback.
        samples: Recipes of its plugin; the first one that it takes serves.
        trial: Returns the short runs of a recipe.
        whole: Returns a short run that nothing disturbed.
        sizes: Settings of the component that make it small, ``parameter=value``.

    Raises:
        Broken: When it fails.
        NotApplicable: When it needs what cannot be given for it, or takes none of the recipes.
    """
    if not samples:
        raise NotApplicable("the plugin has no recipe to run it with")
    refused: list[str] = []
    for sample in samples:
        try:
            return _RUNNERS[component.kind](component, trial(sample), functools.partial(whole, sample), sizes)
        except UserError as error:
            refused.append(f"{sample.path.stem}: {error.message.splitlines()[0]}")
    raise NotApplicable(f"it takes no recipe of its plugin ({'; '.join(refused)[:400]})")


def _callback(component: Component, trial: Trial, whole: Callable[[], Ended], sizes: tuple[str, ...]) -> None:
    known = ("seed", *(size.partition("=")[0] for size in sizes))
    needed = [p.name for p in trial.catalog.signature(component).params if p.required and p.name not in known]
    if needed:
        raise NotApplicable(f"a recipe must give its {', '.join(needed)}")
    given = dict(size.split("=", 1) for size in sizes)
    setting = f"callbacks=[{{{', '.join(f'{k}: {v}' for k, v in ({'name': component.qualified} | given).items())}}}]"
    beside = Trial(trial.file, trial.catalog, trial.scratch, (*trial.overrides, setting))
    checks.resumes_bit_equal(beside, beside.run(checks.STEPS, checkpoint_every=2))


def _search(component: Component, trial: Trial, whole: Callable[[], Ended], sizes: tuple[str, ...]) -> None:
    catalog = trial.catalog
    options = _options(component, catalog, whole, sizes)
    signature = catalog.signature(component)
    takes_run = any(_is_run(p) for p in signature.params if p.name in options)
    data = () if takes_run or trial.recipe.data is None else (f"data={json.dumps(trial.recipe.data.plain())}",)
    recipe = _without_problems(check_search("search", component.qualified, options, data, catalog, Path))
    with tempfile.TemporaryDirectory(dir=trial.scratch) as folder:
        file = Path(folder, f"{component.name}.yaml")
        file.write_text(recipe.to_yaml(), encoding="utf-8")
        alone = Trial(RecipeFile(file), catalog, trial.scratch)
        checks.resumes_bit_equal(alone, alone.run(checks.STEPS, checkpoint_every=2))


def _analysis(component: Component, trial: Trial, whole: Callable[[], Ended], sizes: tuple[str, ...]) -> None:
    catalog = trial.catalog
    options = _options(component, catalog, whole, sizes)
    recipe = _without_problems(check_search("analysis", component.qualified, options, (), catalog, Path))
    with tempfile.TemporaryDirectory(dir=trial.scratch) as folder, forked(0), _few_batches():
        analysis = Builder(recipe, catalog, LoadedRun.open).build(recipe.learning)
        numbers = check_numbers(analysis, analysis.analyze(Path(folder)), "analyze")
    if not numbers:
        raise Broken("analyze() returned no number")


def _without_problems(checked: Checked) -> Recipe:
    """Returns the recipe; raises `UserError` with its first problem."""
    if checked.problems:
        raise UserError(checked.problems[0].message)
    return checked.recipe


@contextlib.contextmanager
def _few_batches() -> Iterator[None]:
    """Lets runs yield a few batches of each split."""
    original = LoadedRun.batches

    def few(self: LoadedRun, split: str, limit: int | None = None) -> Iterator[Any]:
        return original(self, split, min(MEASURED, limit or MEASURED))

    setattr(LoadedRun, original.__name__, few)
    try:
        yield
    finally:
        setattr(LoadedRun, original.__name__, original)


def _options(
    component: Component, catalog: Catalog, whole: Callable[[], Ended], sizes: tuple[str, ...]
) -> dict[str, str]:
    """Returns what a user would have to give: runs, by their folders; and what makes it small."""
    options: PlainDict = dict(size.split("=", 1) for size in sizes)
    for param in catalog.signature(component).params:
        if _is_run(param):
            folder = str(whole().folder.path)
            many = isinstance(param.type, ListType | TupleType)
            options[param.name] = json.dumps([folder, folder] if many else folder)
        elif param.required and param.name not in (*options, "seed"):
            raise NotApplicable(f"a user must give {param.name}")
    return options


def _is_run(param: Param) -> bool:
    inner = param.type
    if isinstance(inner, UnionType):
        return not param.optional and any(isinstance(option, RunType) for option in inner.options)
    if isinstance(inner, ListType):
        inner = inner.item
    elif isinstance(inner, TupleType):
        inner = inner.items[0]
    return isinstance(inner, RunType)


_RUNNERS = {"search": _search, "analysis": _analysis, "callback": _callback}
