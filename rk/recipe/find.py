"""Where recipes are: packaged ones by name, a user's own by path."""

from __future__ import annotations

import os
from pathlib import Path

from rk.errors import UserError, nearest, suggest
from rk.plugins import Plugins
from rk.record import record


@record
class RecipeFile:
    """A recipe on disk. `plugin` is the plugin that ships it, None for a file of the user's."""

    path: Path
    plugin: str | None = None
    distribution: str | None = None

    @property
    def name(self) -> str:
        return f"{self.plugin}/{self.path.stem}" if self.plugin else self.path.stem

    @property
    def label(self) -> str:
        """How marks call it: relative to the working folder where it lies below it, else the whole path."""
        try:
            return str(self.path.resolve().relative_to(Path.cwd()))
        except ValueError:
            return str(self.path)


def heading(path: Path) -> str:
    """Returns the first line of the comment that opens a recipe: what it is for."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return next((line.lstrip("# ").strip() for line in file if line.startswith("#")), "")


def packaged(plugins: Plugins) -> list[RecipeFile]:
    """Returns all recipes that the plugins ship, by name."""
    return [
        RecipeFile(path, plugin.name, plugin.distribution)
        for plugin in plugins
        if plugin.recipes is not None
        for path in sorted(plugin.recipes.glob("*.yaml"))
    ]


def find_recipe(name: str, plugins: Plugins, beside: RecipeFile | None = None) -> RecipeFile:
    """Returns the recipe that `name` means: a path, ``plugin/recipe``, or a recipe name that only one plugin has.

    Args:
        name: As the user wrote it.
        plugins: Whose recipes to look through.
        beside: The recipe that names it in ``extends`` or ``baseline``: its folder and its plugin come first.

    Raises:
        UserError: With the nearest right spelling.
    """
    recipes = packaged(plugins)
    if name.endswith((".yaml", ".yml")):
        return _by_path(Path(name) if beside is None else beside.path.parent / name, recipes)
    matches = [r for r in recipes if name in (r.name, r.path.stem)]
    own = [r for r in matches if beside is not None and r.plugin == beside.plugin]
    exact = [r for r in matches if r.name == name]
    for chosen in (own, exact, matches):
        if len(chosen) == 1:
            return chosen[0]
    if matches:
        raise UserError(f"several plugins have a recipe {name!r}", f"write {' or '.join(r.name for r in matches)}")
    if beside is not None and beside.plugin is None and (beside.path.parent / f"{name}.yaml").is_file():
        return RecipeFile(beside.path.parent / f"{name}.yaml")
    if _is_path(name):
        raise UserError(*_no_recipe_at(Path(name)))
    names = [r.name for r in recipes] if "/" in name else [r.path.stem for r in recipes]
    hint = suggest(name, set(names), "installed recipes")
    if os.path.isfile(f"{name}.yaml"):
        hint = f"did you mean the file {name}.yaml?"
    plugin = name.partition("/")[0]
    if "/" in name and plugin not in [p.name for p in plugins] and nearest(name, names) is None:
        hint = plugins.absent(plugin)
    broken = ", ".join(p.distribution for p in plugins.broken)
    if broken:
        hint = f"{hint or 'no recipe is installed'}; not loaded: {broken} (see rk plugins doctor)"
    raise UserError(f"unknown recipe {name!r}", hint or "give a path that ends in .yaml, or install a plugin")


def _by_path(path: Path, recipes: list[RecipeFile]) -> RecipeFile:
    if not os.path.isfile(path):  # unlike Path.is_file, it takes any text
        raise UserError(*_no_recipe_at(path))
    known = next((r for r in recipes if r.path.resolve() == path.resolve()), None)
    return known or RecipeFile(path)


def _is_path(name: str) -> bool:
    """Whether a text that ends in no .yaml can only be a path: recipes are called ``name`` or ``plugin/name``."""
    return name.startswith((".", "/", "~")) or name.endswith("/") or name.count("/") > 1 or os.path.exists(name)


def _no_recipe_at(path: Path) -> tuple[str, str | None]:
    """Returns what is said of a path that is no recipe file, and a hint."""
    if os.path.isfile(path / "run.json"):
        return f"{path} is a run, not a recipe", f"rk train --resume {path}, or rk train {path / 'recipe.yaml'}"
    if os.path.isdir(path):
        return f"{path} is a folder, not a recipe file", _nearby(path)
    if os.path.isfile(path):
        return f"{path} is no recipe file", "a recipe's name ends in .yaml"
    if os.path.isfile(f"{path}.yaml"):
        return f"no such recipe file: {path}", f"did you mean {path}.yaml?"
    return f"no such recipe file: {path}", _nearby(path.parent, path.name)


def _nearby(folder: Path, name: str = "") -> str | None:
    if not os.path.isdir(folder):
        return f"there is no folder {folder}"
    found = sorted(p.name for p in folder.glob("*.y*ml"))
    return (
        suggest(name, found, "recipes there")
        or "a recipe is a file that ends in .yaml; rk recipes lists those installed"
    )
