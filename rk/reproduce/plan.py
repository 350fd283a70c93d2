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
    """

    file: RecipeFile
    recipe: Recipe
    baselines: dict[str, RecipeFile]

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
    for target in targets:
        claiming = [
            file for file in _files(target, catalog.plugins) if _claims(check_recipe(file, (), catalog).valid())
        ]
        files |= {str(file.path.resolve()): file for file in claiming}
    if not files:
        raise UserError(f"{', '.join(targets)}: nothing is claimed", "a recipe's claims are under its key expect")
    items = [_reproduction(file, catalog) for file in files.values()]
    known: dict[str, str] = {}
    for file in (file for item in items for file in (item.file, *item.baselines.values())):
        if known.setdefault(file.name, str(file.path.resolve())) != str(file.path.resolve()):
            raise UserError(
                f"two recipes are called {file.name}: {known[file.name]} and {file.path.resolve()}",
                "reproduce them one after the other, or rename one",
            )
    return items


def _claims(recipe: Recipe) -> list[Expect]:
    """Returns the claims about the recipe's own data."""
    return [claim for claim in recipe.expect if claim.applies]


def _files(target: str, plugins: Plugins) -> list[RecipeFile]:
    recipes = packaged(plugins)
    if target == "all":
        return recipes
    if own := [r for r in recipes if r.plugin == target]:
        return own
    if Path(target).is_dir():
        return [find_recipe(str(path), plugins) for path in sorted(Path(target).glob("*.yaml"))]
    try:
        return [find_recipe(target, plugins)]
    except UserError as error:
        if "/" in target or target.endswith((".yaml", ".yml")):
            raise
        names = {r.plugin for r in recipes if r.plugin} | {r.name for r in recipes}
        raise UserError(error.message.replace("recipe", "recipe or plugin", 1), suggest(target, names)) from None


def _reproduction(file: RecipeFile, catalog: Catalog) -> Reproduction:
    recipe = check_recipe(file, (), catalog).valid()
    names = dict.fromkeys(claim.baseline for claim in _claims(recipe) if claim.baseline)
    return Reproduction(file, recipe, {name: find_recipe(name, catalog.plugins, beside=file) for name in names})


def logged_claims(items: list[Reproduction]) -> list[str]:
    """Returns the metrics of claims on what steps log, ``train/...``: baselines need them too."""
    return list(dict.fromkeys(c.metric for item in items for c in _claims(item.recipe) if c.metric.startswith(LOGGED)))
