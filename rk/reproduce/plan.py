"""What is to be reproduced: recipes with claims, and the baselines that the claims name."""

from __future__ import annotations

from rk.catalog import Catalog
from rk.contract import check_contract
from rk.errors import RecipeError, UserError, suggest
from rk.plugins import Plugins
from rk.recipe import Recipe, read_recipe
from rk.recipe.find import RecipeFile, find_recipe, packaged
from rk.recipe.sections import Expect
from rk.record import record


@record
class Reproduction:
    """A recipe with claims.

    Attributes:
        file: Where it is.
        recipe: What it says.
        baselines: Name as written in ``expect`` -> the recipe that it means.
    """

    file: RecipeFile
    recipe: Recipe
    baselines: dict[str, RecipeFile]

    def baseline_of(self, claim: Expect) -> str | None:
        """Returns the full name of the claim's baseline."""
        return self.baselines[claim.baseline].name if claim.baseline else None


def checked(file: RecipeFile, overrides: tuple[str, ...], catalog: Catalog) -> Recipe:
    """Reads a recipe that is to be run. Raises `RecipeError` with all its problems."""
    recipe, problems, _ = read_recipe(file, overrides, catalog)
    _, broken, _ = check_contract(recipe, catalog)
    if problems + broken:
        raise RecipeError([*problems, *broken])
    return recipe


def plan(targets: tuple[str, ...], catalog: Catalog) -> list[Reproduction]:
    """Returns what the targets mean, each recipe once: a recipe, a plugin's recipes with claims, or ``all`` of them.

    Raises:
        UserError: When a target is unknown or claims nothing.
    """
    files: dict[str, RecipeFile] = {}
    for target in targets:
        found = _files(target, catalog.plugins)
        planned = [(file, checked(file, (), catalog)) for file in found]
        claiming = [file for file, recipe in planned if recipe.expect]
        if not claiming:
            raise UserError(f"{target} claims nothing", "a recipe's claims are under its key expect")
        files |= {str(file.path.resolve()): file for file in claiming}
    return [_reproduction(file, catalog) for file in files.values()]


def _files(target: str, plugins: Plugins) -> list[RecipeFile]:
    recipes = packaged(plugins)
    if target == "all":
        return recipes
    own = [r for r in recipes if r.plugin == target]
    if own:
        return own
    try:
        return [find_recipe(target, plugins)]
    except UserError as error:
        names = {r.plugin for r in recipes if r.plugin} | {r.name for r in recipes}
        if "/" in target or target.endswith((".yaml", ".yml")):
            raise
        raise UserError(error.message.replace("recipe", "recipe or plugin", 1), suggest(target, names)) from None


def _reproduction(file: RecipeFile, catalog: Catalog) -> Reproduction:
    recipe = checked(file, (), catalog)
    names = dict.fromkeys(claim.baseline for claim in recipe.expect if claim.baseline)
    return Reproduction(file, recipe, {name: find_recipe(name, catalog.plugins, beside=file) for name in names})
