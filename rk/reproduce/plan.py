"""The plan of a reproduction: recipes with claims, and the baselines that the claims name."""

from __future__ import annotations

from pathlib import Path

from rk.catalog import Catalog
from rk.errors import UserError, suggest
from rk.plugins import Plugins
from rk.recipe import Recipe, check_recipe
from rk.recipe.find import RecipeFile, find_recipe, packaged
from rk.recipe.sections import Expect
from rk.record import record
from rk.report.summary import LOGGED


@record
class Reproduction:
    """A recipe with claims.

    Attributes:
        file: Where it is.
        recipe: The checked recipe.
        baselines: Name as written in ``expect`` -> the recipe that it means.
        is_named: Whether the user named this recipe itself, not only its plugin or folder.
    """

    file: RecipeFile
    recipe: Recipe
    baselines: dict[str, RecipeFile]
    is_named: bool = True

    @property
    def is_costly(self) -> bool:
        """Whether all its claims have a cost: it is trained only when it is named."""
        return all(claim.cost for claim in _claims(self.recipe))

    @property
    def files(self) -> list[RecipeFile]:
        """The recipe and its baselines."""
        return [self.file, *self.baselines.values()]

    def baseline_of(self, claim: Expect) -> str | None:
        """Returns the full name of the claim's baseline."""
        return self.baselines[claim.baseline].name if claim.baseline and claim.applies else None


def plan(targets: tuple[str, ...], catalog: Catalog) -> list[Reproduction]:
    """Returns what the targets mean, each recipe with claims once.

    Args:
        targets: Recipes, plugins or folders with recipes; ``all`` is every plugin's.
        catalog: The installed components.

    Raises:
        UserError: When a target is unknown, or nothing is claimed.
    """
    files: dict[str, RecipeFile] = {}
    named: set[str] = set()
    for target in targets:
        found, is_named = _files(target, catalog.plugins)
        claiming = [file for file in found if _claims(check_recipe(file, (), catalog).valid())]
        files |= {str(file.path.resolve()): file for file in claiming}
        named |= {str(file.path.resolve()) for file in claiming if is_named}
    if not files:
        raise UserError(f"{', '.join(targets)}: nothing is claimed", "a recipe's claims are under its key expect")
    items = [_reproduction(file, catalog, path in named) for path, file in files.items()]
    known: dict[str, str] = {}
    for file in (file for item in items for file in item.files):
        if known.setdefault(file.name, str(file.path.resolve())) != str(file.path.resolve()):
            raise UserError(
                f"two recipes are called {file.name}: {known[file.name]} and {file.path.resolve()}",
                "reproduce them one after the other, or rename one",
            )
    return items


def _claims(recipe: Recipe) -> list[Expect]:
    """Returns the claims about the recipe's own data."""
    return [claim for claim in recipe.expect if claim.applies]


def _files(target: str, plugins: Plugins) -> tuple[list[RecipeFile], bool]:
    """Returns the recipes that a target means, and whether it names one recipe."""
    recipes = packaged(plugins)
    if target == "all":
        return recipes, False
    if own := [r for r in recipes if r.plugin == target]:
        return own, False
    if Path(target).is_dir():
        return [find_recipe(str(path), plugins) for path in sorted(Path(target).glob("*.yaml"))], False
    try:
        return [find_recipe(target, plugins)], True
    except UserError as error:
        if "/" in target or target.endswith((".yaml", ".yml")):
            raise
        names = {r.plugin for r in recipes if r.plugin} | {r.name for r in recipes}
        raise UserError(error.message.replace("recipe", "recipe or plugin", 1), suggest(target, names)) from None


def _reproduction(file: RecipeFile, catalog: Catalog, is_named: bool) -> Reproduction:
    recipe = check_recipe(file, (), catalog).valid()
    names = dict.fromkeys(claim.baseline for claim in _claims(recipe) if claim.baseline)
    return Reproduction(
        file, recipe, {name: find_recipe(name, catalog.plugins, beside=file) for name in names}, is_named
    )


def to_train(items: list[Reproduction]) -> tuple[list[RecipeFile], list[str]]:
    """Returns the recipes that are trained, each once, and the names of those that are left out for their cost."""
    files = {file.name: file for item in items if item.is_named or not item.is_costly for file in item.files}
    return [*files.values()], [item.file.name for item in items if item.file.name not in files]


def logged_claims(items: list[Reproduction]) -> list[str]:
    """Returns the metrics of claims on what steps log, ``train/...``: baselines need them too."""
    return list(dict.fromkeys(c.metric for item in items for c in _claims(item.recipe) if c.metric.startswith(LOGGED)))
