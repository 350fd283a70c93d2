"""Finds recipes: packaged ones by name, a user's own by path."""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from rk.errors import UserError, nearest, suggest
from rk.plugins import Plugin, Plugins, is_name
from rk.reads import note

ENDING = ".yaml"
"""The ending of recipe files in plugins."""


class RecipeFile:
    """A recipe on disk.

    Args:
        path: The file.
        plugin: The plugin that ships it; None for a file of the user's.
        distribution: That plugin's distribution.
    """

    def __init__(self, path: Path | str, plugin: str | None = None, distribution: str | None = None) -> None:
        self.text = os.fspath(path)
        self.plugin = plugin
        self.distribution = distribution
        self.is_link = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RecipeFile) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    def __repr__(self) -> str:
        return f"RecipeFile{self._fields()!r}"

    def _fields(self) -> tuple[str, str | None, str | None]:
        return self.text, self.plugin, self.distribution

    @functools.cached_property
    def path(self) -> Path:  # making one takes longer than all else that is known of a recipe in a listing
        return Path(self.text)

    @functools.cached_property
    def stem(self) -> str:
        """The file's name without its ending."""
        file = os.path.basename(self.text)
        return file[: -len(ENDING)] if file.endswith(ENDING) and file != ENDING else self.path.stem

    @functools.cached_property
    def name(self) -> str:
        return f"{self.plugin}/{self.stem}" if self.plugin else self.stem

    @property
    def label(self) -> str:
        """Its label in marks: the path relative to the working folder if it is inside it, else the whole path."""
        try:
            return str(resolved(self.path).relative_to(Path.cwd()))
        except ValueError:
            return str(self.path)


MAX_HEADING = 20_000
"""Characters of a recipe in which its heading is looked for."""


def heading(path: Path) -> str:
    """Returns the first line of the comment that opens a recipe: what it is for; empty where it cannot be read."""
    note(file=path)
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read(MAX_HEADING).splitlines()
    except OSError:
        return ""
    return next((line.lstrip("# ").strip() for line in lines if line.startswith("#")), "")


def resolved(path: Path) -> Path:
    """Returns the absolute path, links followed as far as they lead."""
    return Path(os.path.realpath(path))  # unlike Path.resolve, it does not raise for links in a circle


def no_file(path: Path) -> str | None:
    """Returns what is at `path` if it is not a readable file; None for a file.

    Opening a FIFO or a device could wait for ever.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        broken = os.path.islink(path)
        return f"a link that leads nowhere ({error.strerror})" if broken else error.strerror or "unreadable"
    except ValueError:
        return "no path"
    if stat.S_ISREG(mode):
        return None
    kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a FIFO", stat.S_ISSOCK: "a socket"}
    return next((what for is_kind, what in kinds.items() if is_kind(mode)), "a device")


def owner_of(label: str, plugins: Iterable[Plugin]) -> str | None:
    """Returns the plugin that ships the recipe of a label; None for a file of the user's."""
    stem = os.path.basename(label).removesuffix(ENDING)
    for plugin in plugins:
        found = _shipped(plugin, stem)
        if found is not None and os.path.realpath(found.text) == os.path.realpath(label):
            return plugin.name
    return None


def _shipped(plugin: Plugin, stem: str) -> RecipeFile | None:
    """Returns that recipe of a plugin, from one look at the disk; None where it has no such file."""
    if plugin.recipes is None or not stem.isprintable() or not stem or os.sep in stem:
        return None
    recipe = RecipeFile(f"{os.fspath(plugin.recipes)}{os.sep}{stem}{ENDING}", plugin.name, plugin.distribution)
    try:
        recipe.is_link = os.path.islink(recipe.text)
        return recipe if os.path.isfile(recipe.text) else None
    except ValueError:  # not a path
        return None


def packaged(plugins: Iterable[Plugin]) -> list[RecipeFile]:
    """Returns all recipes that the plugins ship, by name; `unreadable` has those that are not files."""
    return sorted_out(plugins)[0]


def unreadable(plugins: Iterable[Plugin]) -> list[tuple[RecipeFile, str]]:
    """Returns what a plugin lists as a recipe but is not a file, and what it is."""
    return sorted_out(plugins)[1]


def sorted_out(plugins: Iterable[Plugin]) -> tuple[list[RecipeFile], list[tuple[RecipeFile, str]]]:
    """Returns what `packaged` and `unreadable` do, from one look."""
    files: list[RecipeFile] = []
    odd: list[tuple[RecipeFile, str]] = []
    for recipe, is_file in _listed(plugins):
        if not recipe.stem.isprintable():
            odd.append((recipe, "a file whose name cannot be typed"))
        elif is_file:
            files.append(recipe)
        elif (what := no_file(recipe.path)) is not None:
            odd.append((recipe, what))
    return files, odd


def _listed(plugins: Iterable[Plugin]) -> Iterator[tuple[RecipeFile, bool]]:
    """Yields what the plugins call recipes, and whether each is a file."""
    for plugin in plugins:
        if plugin.recipes is not None:
            folder = os.fspath(plugin.recipes)
            try:
                with os.scandir(folder) as entries:  # it knows what is a file: nothing else need be asked
                    found = sorted((e.name, _is_file(e), e.is_symlink()) for e in entries if e.name.endswith(ENDING))
            except OSError:
                continue  # removed meanwhile, or not to be listed
            for name, is_file, is_link in found:
                recipe = RecipeFile(f"{folder}{os.sep}{name}", plugin.name, plugin.distribution)
                recipe.is_link = is_link
                yield recipe, is_file


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link in a circle
        return False


def find_recipe(name: str, plugins: Plugins, beside: RecipeFile | None = None) -> RecipeFile:
    """Returns the recipe that `name` means: a path, ``plugin/recipe``, or a recipe name that only one plugin has.

    Args:
        name: As the user wrote it.
        plugins: Whose recipes to look through.
        beside: The recipe that names it in ``extends`` or ``baseline``: its folder and its plugin come first.

    Raises:
        UserError: With the nearest right spelling.
    """
    note(installed=True)
    if (only := _unmistakable(name, plugins, beside)) is not None:
        return only
    recipes = packaged(plugins)
    if name.endswith((".yaml", ".yml")):
        return _by_path(Path(name) if beside is None else beside.path.parent / name, recipes)
    matches = [r for r in recipes if name in (r.name, r.stem)]
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
    for recipe, what in unreadable(plugins):
        if name in (recipe.name, recipe.stem):
            raise UserError(f"{recipe.distribution}: {recipe.path} is {what}, not a recipe file")
    names = [r.name for r in recipes] if "/" in name else [r.stem for r in recipes]
    hint = suggest(name, set(names), "installed recipes")
    if os.path.isfile(f"{name}.yaml"):
        hint = f"did you mean the file {name}.yaml?"
    plugin = name.partition("/")[0]
    if not is_name(plugin):
        hint = "a recipe file's name ends in .yaml"
    elif "/" in name and plugin not in [p.name for p in plugins] and nearest(name, names) is None:
        hint = plugins.absent(plugin)
    broken = ", ".join(p.distribution for p in plugins.broken)
    if broken and is_name(plugin):
        hint = f"{hint or 'no recipe is installed'}; not loaded: {broken} (see rk plugins doctor)"
    raise UserError(f"unknown recipe {name!r}", hint or "give a path that ends in .yaml, or install a plugin")


def _unmistakable(name: str, plugins: Plugins, beside: RecipeFile | None) -> RecipeFile | None:
    """Returns the recipe of a name that says whose it is, or that is beside it; None where more must be looked at.

    Looking through the recipes of all plugins takes as long as all else that a short recipe's check does.
    """
    owner, _, stem = name.rpartition("/")
    if not owner:
        owner = beside.plugin if beside is not None and beside.plugin is not None else ""
    owners = [plugin for plugin in plugins if plugin.name == owner]
    if len(owners) != 1 or name.endswith((".yaml", ".yml")):
        return None
    return _shipped(owners[0], stem)


def _by_path(path: Path, recipes: list[RecipeFile]) -> RecipeFile:
    if no_file(path) is not None:
        raise UserError(*_no_recipe_at(path))
    leads_to = resolved(path)
    likely = (r for r in recipes if r.is_link or r.text.endswith(leads_to.name))  # resolving all takes long
    return next((r for r in likely if resolved(r.path) == leads_to), None) or RecipeFile(path)


def _is_path(name: str) -> bool:
    """Whether a text that ends in no .yaml can only be a path: recipes are called ``name`` or ``plugin/name``."""
    return name.startswith((".", "/", "~")) or name.endswith("/") or name.count("/") > 1 or os.path.exists(name)


def _no_recipe_at(path: Path) -> tuple[str, str | None]:
    """Returns the message for a path that is not a recipe file, and a hint."""
    if os.path.isfile(path / "run.json"):
        return f"{path} is a run, not a recipe", f"rk train --resume {path}, or rk train {path / 'recipe.yaml'}"
    if os.path.isdir(path):
        return f"{path} is a folder, not a recipe file", _nearby(path)
    if os.path.isfile(path):
        return f"{path} is not a recipe file", "a recipe's name ends in .yaml"
    if os.path.lexists(path):
        return f"{path} is {no_file(path)}, not a recipe file", None
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
