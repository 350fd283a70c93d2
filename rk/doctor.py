"""`rk plugins doctor`: the state of every installed plugin, and what to do about it."""

from __future__ import annotations

import importlib.util
import os
import re
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rk.catalog import Catalog
from rk.errors import printable
from rk.hookspecs import HOOK_OF_KIND
from rk.plugins import BUILTIN, Plugin
from rk.probe import probe
from rk.public import private_imports
from rk.recipe.find import packaged, unreadable
from rk.record import made, record
from rk.review import faults, gaps
from rk.values import PlainDict

_IMPORTS_RK = re.compile(r"^\s*(from|import)\s+rk\b", re.MULTILINE)
SLOW = 50
"""Milliseconds that importing a plugin's hooks may take before it is worth a word: `rk --help` takes about 100."""


@record
class Examination:
    """The findings about one plugin.

    Attributes:
        milliseconds: What importing its hooks costs; None where that fails or it is not loaded.
        errors: What does not work.
        warnings: What works, but not as its users would like it.
    """

    plugin: Plugin
    milliseconds: float | None = None
    heavy: list[str] = made(default_factory=list)
    errors: list[str] = made(default_factory=list)
    warnings: list[str] = made(default_factory=list)

    @property
    def verdict(self) -> str:
        if self.plugin.disabled:
            return "disabled"
        return "broken" if self.errors else "to fix" if self.warnings else "healthy"

    def hooks(self) -> list[str]:
        """Returns the hooks that brought something."""
        kinds = {c.kind for c in self.plugin.components}
        found = [hook for kind, hook in HOOK_OF_KIND.items() if kind in kinds]
        return [*found, "rk_recipes"] if self.plugin.recipes is not None else found

    def traceback(self) -> str | None:
        """Returns the traceback of the exception that its module or a hook raised."""
        error = self.plugin.exception
        return None if error is None else "".join(traceback.format_exception(error))

    def plain(self) -> PlainDict:
        """Returns all of it as plain values."""
        plugin = self.plugin
        return {
            "name": plugin.name,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "module": plugin.entry.module,
            "verdict": self.verdict,
            "requires_host": plugin.entry.host,
            "milliseconds": self.milliseconds,
            "heavy_imports": self.heavy,
            "hooks": self.hooks(),
            "components": [{"kind": c.kind, "name": c.name, "target": c.target} for c in plugin.components],
            "recipes": len(packaged([plugin])),
            "errors": self.errors,
            "warnings": self.warnings,
            "traceback": self.traceback(),
        }


def examine(catalog: Catalog, plugins: Sequence[Plugin] = ()) -> list[Examination]:
    """Examines plugins: their imports, hooks, components and recipes.

    Args:
        catalog: The installed components.
        plugins: Which of them; by default all but the built-in one.
    """
    chosen = list(plugins) or [p for p in catalog.plugins if p.name != BUILTIN]
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        costs = list(pool.map(_probed, chosen))
    return [_examination(plugin, cost, catalog) for plugin, cost in zip(chosen, costs, strict=True)]


def _probed(plugin: Plugin) -> PlainDict:
    return {} if plugin.disabled or (plugin.errors and plugin.exception is None) else probe(plugin.entry.module)


def _examination(plugin: Plugin, cost: PlainDict, catalog: Catalog) -> Examination:
    found = Examination(plugin, cost.get("milliseconds"), cost.get("heavy", []), list(plugin.errors))
    if plugin.disabled:
        return found
    if "error" in cost and not plugin.errors:
        found.errors.append(f"import {plugin.entry.module} fails in a fresh interpreter: {cost['error']}")
    if printed := cost.get("printed"):
        found.warnings.append(f"import {plugin.entry.module} prints {printed!r}: every command would show it")
    found.errors += [printable(f"{r.path} is {what}, not a recipe file") for r, what in unreadable([plugin])]
    for component in plugin.components:
        who = f"{component.kind} {component.name}"
        found.errors += [f"{who}: {said}" for said in faults(component, catalog)]
        found.warnings += [f"{who}: {said}" for said in gaps(component, catalog)]
    found.warnings += _clashes(plugin, catalog)
    found.warnings += _back_doors(plugin)
    if found.heavy:
        listed = ", ".join(found.heavy)
        found.warnings.append(f"import {plugin.entry.module} brings {listed}: import them in the components' modules")
    elif (found.milliseconds or 0) > SLOW:
        found.warnings.append(
            f"import {plugin.entry.module} takes {found.milliseconds:.0f} ms: every command waits for it"
        )
    if plugin.entry.host is None and plugin.entry.version != "0" and plugin.name != BUILTIN:
        found.warnings.append(
            "its distribution does not require recursion-kit: give the range of versions it is made for"
        )
    if not plugin.errors and not plugin.components and plugin.recipes is None:
        found.warnings.append("it offers nothing: no hook is implemented and it has no recipes")
    return found


def _back_doors(plugin: Plugin) -> Iterator[str]:
    """Yields the imports of modules of rk that are not public: any version may change what they find there."""
    if plugin.name == BUILTIN:
        return
    for path, name in _sources(plugin.entry.module.partition(".")[0]):
        try:
            source = path.read_text(encoding="utf-8")
            found = {module: line for line, module in private_imports(source)} if _IMPORTS_RK.search(source) else {}
        except (OSError, ValueError, SyntaxError):  # a file that Python cannot read is not imported either
            continue
        for module, line in found.items():
            yield f"{name}:{line} imports {module}, which is not public: import what docs/stability.md lists"


def _sources(package: str) -> Iterator[tuple[Path, str]]:
    """Yields the Python files of an installed package, each with its name inside the folder that it is installed in."""
    try:
        spec = importlib.util.find_spec(package)
    except Exception:  # a module can put any object in its own place, whose spec is read
        return
    if spec is None:
        return
    for folder in spec.submodule_search_locations or ():
        for path in sorted(Path(folder).rglob("*.py")):
            yield path, str(path.relative_to(Path(folder).parent))
    if spec.submodule_search_locations is None and spec.origin is not None and spec.origin.endswith(".py"):
        yield Path(spec.origin), Path(spec.origin).name


def _clashes(plugin: Plugin, catalog: Catalog) -> Iterator[str]:
    """Yields the names that another plugin entries too: recipes must then name the plugin."""
    for component in plugin.components:
        others = [c for c in catalog.of_kind(component.kind) if c.name == component.name and c.plugin != plugin.name]
        if others:
            whose = " and ".join(c.distribution for c in others)
            name = f"{component.kind} {component.name}"
            yield f"{name} is offered by {whose} too: recipes must write {component.qualified}"
