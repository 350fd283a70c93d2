"""What the host's tests share: the built-in catalog, throw-away plugins, checked recipes. `rk` is rk.testing's own."""

from __future__ import annotations

import importlib
import itertools
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rk.catalog import Catalog
from rk.errors import Problem, RecipeError
from rk.plugins import PluginEntry, Plugins
from rk.recipe import Recipe, check_recipe
from rk.recipe.contract import Binding
from rk.recipe.find import find_recipe

_numbers = itertools.count()


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """The built-in components alone, whatever is installed."""
    return Catalog(Plugins(entries=[]))


class Workshop:
    """Makes modules and plugins that live as long as one test.

    Sources are found by name and kept for the whole process, so each package gets a name that no other test has;
    sources write ``PACKAGE`` for it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def package(self, source: str = "", **modules: str) -> str:
        """Writes a package with `source` as its ``__init__`` and one module per keyword; returns its name."""
        name = f"throwaway_{next(_numbers)}"
        for module, text in {"__init__": source, **modules}.items():
            path = self.folder / name / f"{module}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text).replace("PACKAGE", name), encoding="utf-8")
        importlib.invalidate_caches()
        return name

    def entry(self, name: str, source: str, **modules: str) -> PluginEntry:
        """Writes a plugin and returns its entry point; its distribution is called ``rk-NAME``."""
        return PluginEntry(name, self.package(source, **modules), f"rk-{name}", "1.0")

    def plugin(self, name: str, source: str, **components: dict[str, str]) -> PluginEntry:
        """Writes a plugin whose hooks are generated: ``models={"toy": "Toy"}`` offers class ``Toy`` of `source`."""
        hooks = "from rk import hookimpl\n"
        for hook, classes in components.items():
            targets = {short: f"PACKAGE.parts:{cls}" for short, cls in classes.items()}
            hooks += f"@hookimpl\ndef rk_{hook}():\n    return {targets!r}\n"
        return self.entry(name, hooks, parts=source)

    @staticmethod
    def catalog(*entries: PluginEntry) -> Catalog:
        return Catalog(Plugins(entries=entries))


@pytest.fixture
def workshop(tmp_path, monkeypatch) -> Workshop:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return Workshop(folder)


@dataclass
class Checked:
    """What `rk validate` finds out, short of printing it."""

    recipe: Recipe | None = None
    binding: Binding | None = None
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """The problems as they are printed, in their order."""
        return [str(p) for p in RecipeError(self.problems).problems]


@pytest.fixture(scope="session")
def validate():
    """Finds, reads and checks a recipe as `rk.cli.loading` does, but keeps what was found of a broken one."""

    def call(name: str | Path, catalog: Catalog, *overrides: str) -> Checked:
        try:
            file = find_recipe(str(name), catalog.plugins)
            found = check_recipe(file, overrides, catalog, run_finder=Path)
        except RecipeError as error:
            return Checked(problems=error.problems)
        return Checked(found.recipe, found.binding, found.problems, found.warnings)

    return call


@pytest.fixture
def check(tmp_path, monkeypatch, catalog, validate):
    """Checks the text of a recipe, written to ``recipe.yaml`` in an empty working folder."""
    monkeypatch.chdir(tmp_path)

    def call(text: str, *overrides: str, catalog: Catalog = catalog) -> Checked:
        Path("recipe.yaml").write_text(textwrap.dedent(text), encoding="utf-8")
        return validate("recipe.yaml", catalog, *overrides)

    return call
