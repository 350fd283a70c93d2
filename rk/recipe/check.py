"""A recipe, checked against the installed components: all mistakes in one pass, none that follows from another."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rk.catalog import Catalog
from rk.errors import Mark, Problem, RecipeError
from rk.kinds import COMPONENT_KEYS
from rk.recipe.components import class_literal
from rk.recipe.compose import apply_override, compose
from rk.recipe.contract import check_contract
from rk.recipe.find import RecipeFile, resolved
from rk.recipe.findings import Binding
from rk.recipe.hints import missing
from rk.recipe.model import Recipe, Spec
from rk.recipe.own_data import on_own_data
from rk.recipe.reader import RecipeReader
from rk.recipe.tree import Mapping, Scalar
from rk.recipe.values import INVALID
from rk.record import record
from rk.static.types import RunType, Type, UnionType
from rk.values import PlainDict

RunFinder = Callable[[str], Path]


@record
class Checked:
    """A recipe and what was found out about it.

    Attributes:
        recipe: What is right of it.
        binding: Which component provides what the others read.
        problems: All mistakes; the recipe can be run where there is none.
        warnings: What may be a mistake.
    """

    recipe: Recipe
    binding: Binding
    problems: list[Problem]
    warnings: list[Problem]

    def valid(self) -> Recipe:
        """Returns the recipe. Raises `RecipeError` with all problems, where there are any."""
        if self.problems:
            raise RecipeError(self.problems)
        return self.recipe


def check_recipe(
    file: RecipeFile,
    overrides: tuple[str, ...],
    catalog: Catalog,
    *,
    run_finder: RunFinder | None = None,
    stored: bool = False,
    above: tuple[Path, ...] = (),
) -> Checked:
    """Reads a recipe file and checks all of it: each value, and how the components fit each other.

    Args:
        file: The recipe.
        overrides: Command-line overrides, in order.
        catalog: The installed components.
        run_finder: Turns the text of a `Run` parameter into a folder.
        stored: Whether it is the recipe of a run: runs that it began from may be gone.
        above: The files that lead to this one, where a recipe names it as that of a run that it begins from.

    Raises:
        RecipeError: When the file is not a recipe, or has too many mistakes.
    """
    recipe, problems = read_recipe(file, overrides, catalog, run_finder=run_finder, stored=stored, above=above)
    return _with_contract(recipe, problems, catalog)


def _with_contract(recipe: Recipe, problems: list[Problem], catalog: Catalog) -> Checked:
    binding, broken, warnings = check_contract(recipe, catalog)
    return Checked(recipe, binding, [*problems, *broken], warnings)


def read_recipe(
    file: RecipeFile,
    overrides: tuple[str, ...],
    catalog: Catalog,
    *,
    run_finder: RunFinder | None = None,
    stored: bool = False,
    above: tuple[Path, ...] = (),
) -> tuple[Recipe, list[Problem]]:
    """Reads and checks a recipe file as `check_recipe` does, short of how its components fit each other.

    Returns:
        The recipe, with what is right of it; and all problems.
    """
    above = (*above, resolved(file.path))
    tree, problems = compose(file, overrides, catalog.plugins, catalog.plugins.index)
    reader = _reader(catalog, file, run_finder, stored=stored, above=above)
    reader.problems += problems
    recipe = reader.recipe(tree, file.name)
    recipe.overrides = [*overrides]
    read_data = _reader(catalog, file, run_finder, stored=stored, above=above).top_level(
        "data"
    )  # reports nothing twice
    recipe.expect = on_own_data(
        recipe.expect, tree, file, overrides, catalog.plugins, lambda node: read_data(node, "data")
    )
    return recipe, reader.problems


def _reader(
    catalog: Catalog,
    file: RecipeFile | None = None,
    run_finder: RunFinder | None = None,
    above: tuple[Path, ...] = (),
    **more: Any,
) -> RecipeReader:
    named = partial(_check_named, catalog=catalog, run_finder=run_finder, above=above)
    return RecipeReader(catalog, file, run_finder, check_named=named, above=above, **more)


def _check_named(
    file: RecipeFile,
    overrides: tuple[str, ...],
    *,
    catalog: Catalog,
    run_finder: RunFinder | None,
    above: tuple[Path, ...],
) -> tuple[Recipe | None, list[Problem]]:
    """Checks the recipe of a run that another recipe begins from."""
    try:
        checked = check_recipe(file, overrides, catalog, run_finder=run_finder, above=above)
    except RecipeError as error:
        return None, error.problems
    return checked.recipe, checked.problems


def check_search(
    kind: str,
    name: str,
    options: PlainDict,
    overrides: tuple[str, ...],
    catalog: Catalog,
    run_finder: RunFinder,
) -> Checked:
    """Checks a search or an analysis given on the command line as if it were in a recipe.

    Args:
        kind: ``search`` or ``analysis``.
        name: The component's name.
        options: Parameter -> text as written on the command line.
        overrides: ``fit.x=...`` and others; they come after those in the component's own ``defaults``. Where a run is
            given, its data is the default, and none that these name.
        catalog: The installed components.
        run_finder: Turns the text of a `Run` parameter into a folder.
    """
    here = Mark("command line")
    tree = Mapping({}, here, {})
    tree.put("rk", Scalar(1, here, "1"))
    tree.put("search", Mapping({"name": Scalar(name, here, name)}, here, {}))
    problems: list[Problem] = []
    for key, text in options.items():
        problems += apply_override(tree, f"search.{key}={text}")
    component = catalog.resolve(kind, name)
    defaults = class_literal(catalog.info(component), "defaults")
    if any(_takes_run(p.type) for p in catalog.signature(component).params if p.name in options):
        defaults = tuple(text for text in defaults if not text.startswith("data="))
    for override in (*defaults, *overrides):
        problems += apply_override(tree, override)
    reader = _reader(catalog, None, run_finder, component_keys={**COMPONENT_KEYS, "search": kind})
    reader.problems += problems
    recipe = reader.recipe(tree, name.replace("/", "-"))
    if kind == "search":
        return _with_contract(recipe, reader.problems, catalog)
    broken = []
    if (search := recipe.search) is not None:
        lacking = [p for p in search.missing if p.name != "seed"]
        broken = [Problem(search.mark, f"--{p.name.replace('_', '-')}", missing(p)) for p in lacking]
    return Checked(recipe, Binding(), [*reader.problems, *broken], [])


def _takes_run(declared: Type) -> bool:
    options = declared.options if isinstance(declared, UnionType) else (declared,)
    return any(isinstance(option, RunType) for option in options)


def read_component(kind: str, name: str, overrides: tuple[str, ...], catalog: Catalog) -> Spec:
    """Checks one component given on the command line, with its parameters as ``KIND.parameter=value``.

    Raises:
        RecipeError: With all problems.
    """
    here = Mark("command line")
    tree = Mapping({}, here, {})
    tree.put(kind, Mapping({"name": Scalar(name, here, name)}, here, {}))
    reader = _reader(catalog)
    for override in overrides:
        reader.problems += apply_override(tree, override)
    spec: Spec = reader.top_level(kind)(tree.items[kind], kind)
    if spec is not INVALID:
        for param in spec.missing:
            reader.report(here, f"{kind}.{param.name}", f"missing: {param.type}")
    if reader.problems:
        raise RecipeError(reader.problems)
    return spec
