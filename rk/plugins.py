"""Finding plugins and keeping each one's mistakes its own.

A plugin is a module named by an entry point in the group ``rk.plugins``. It is loaded and asked on its own: one that fails
to import, returns rubbish from a hook, or clashes with another is reported with its distribution's name, and nothing
that does not need it notices. There is no global registry: a `Plugins` object is made per process, or per test.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from rk import hookspecs
from rk.hookspecs import HOOK_OF_KIND

GROUP = "rk.plugins"
BUILTIN = "rk"
"""The name under which the built-in components are registered: ``rk/backprop``."""

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class Offer:
    """An installed entry point: what is known of a plugin before it is loaded."""

    name: str
    module: str
    distribution: str
    version: str


@dataclass(frozen=True)
class Component:
    """A name that a plugin gave to a class; nothing of it is imported."""

    kind: str
    name: str
    plugin: str
    distribution: str
    target: str

    @property
    def qualified(self) -> str:
        return f"{self.plugin}/{self.name}"


@dataclass
class Plugin:
    """One plugin as it was found: its components, or what is wrong with it."""

    name: str
    distribution: str
    version: str
    components: list[Component] = field(default_factory=list)
    recipes: Path | None = None
    errors: list[str] = field(default_factory=list)
    exception: BaseException | None = None

    @property
    def state(self) -> str:
        """``ok``, ``partial`` (some hooks failed) or ``failed`` (nothing could be used)."""
        if not self.errors:
            return "ok"
        return "partial" if self.components or self.recipes else "failed"


def installed() -> list[Offer]:
    """Returns the plugins' entry points, in the order of distribution names; loads none of them."""
    from importlib.metadata import entry_points

    offers = {
        Offer(point.name, point.value, point.dist.name if point.dist else "?", point.dist.version if point.dist else "?")
        for point in entry_points(group=GROUP)
    }
    return sorted(offers, key=lambda o: (o.distribution.lower(), o.name))


class Plugins:
    """The loaded plugins, the built-in components first.

    Args:
        offers: What to load; by default, all that is installed.
    """

    def __init__(self, offers: Iterable[Offer] | None = None) -> None:
        self._manager = pluggy.PluginManager("rk")
        self._manager.add_hookspecs(hookspecs)
        self.plugins: list[Plugin] = []
        from rk import __version__

        self._load(Offer(BUILTIN, "rk.builtin", "recursion-kit", __version__))
        for offer in installed() if offers is None else offers:
            self._load(offer)

    def __iter__(self):
        return iter(self.plugins)

    @property
    def components(self) -> list[Component]:
        return [c for plugin in self.plugins for c in plugin.components]

    @property
    def broken(self) -> list[Plugin]:
        return [plugin for plugin in self.plugins if plugin.errors]

    def add(self, module: ModuleType, name: str, distribution: str) -> Plugin:
        """Registers a module that is not installed (tests, notebooks)."""
        plugin = Plugin(name, distribution, "0")
        self.plugins.append(plugin)
        self._ask(plugin, module)
        return plugin

    def _load(self, offer: Offer) -> None:
        plugin = Plugin(offer.name, offer.distribution, offer.version)
        self.plugins.append(plugin)
        if not _NAME.fullmatch(offer.name):
            plugin.errors.append(f"entry point {offer.name!r}: names are lower-case words joined by hyphens")
            return
        twin = next((p for p in self.plugins[:-1] if p.name == offer.name), None)
        if twin is not None:
            plugin.errors.append(f"the name {offer.name!r} is taken by {twin.distribution} {twin.version}; uninstall one")
            return
        try:
            module = importlib.import_module(offer.module)
        except (Exception, SystemExit) as error:  # a plugin may do anything at import, even exit
            plugin.errors.append(f"import {offer.module}: {type(error).__name__}: {error}")
            plugin.exception = error
            return
        self._ask(plugin, module)

    def _ask(self, plugin: Plugin, module: ModuleType) -> None:
        try:
            self._manager.register(module, name=plugin.name)
        except (Exception, SystemExit) as error:  # pluggy: bad hook arguments, a module registered twice
            plugin.errors.append(f"{type(error).__name__}: {error}")
            plugin.exception = error
            return
        for unknown in self._unknown_hooks(module):
            plugin.errors.append(f"{unknown} is no hook of this version of rk")
        for kind, hook in HOOK_OF_KIND.items():
            answer = self._call(plugin, hook)
            if answer is not None:
                self._take(plugin, kind, hook, answer)
        plugin.recipes = self._recipes(plugin, module)

    def _unknown_hooks(self, module: ModuleType) -> list[str]:
        callers = self._manager.get_hookcallers(module) or []
        return [c.name for c in callers if not c.has_spec()]

    def _call(self, plugin: Plugin, hook: str) -> Any:
        """Calls this plugin's implementation alone, so that what it returns or raises is known to be its own."""
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            if implementation.plugin_name == plugin.name:
                try:
                    return implementation.function()
                except (Exception, SystemExit) as error:
                    plugin.errors.append(f"{hook}(): {type(error).__name__}: {error}")
                    plugin.exception = error
        return None

    def _take(self, plugin: Plugin, kind: str, hook: str, answer: Any) -> None:
        if not isinstance(answer, dict):
            plugin.errors.append(f"{hook}() returned {type(answer).__name__}; expected a dict of name: 'module:Class'")
            return
        for name, target in answer.items():
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                plugin.errors.append(f"{hook}(): {name!r} is no name; names are lower-case words joined by hyphens")
            elif not isinstance(target, str) or not _TARGET.fullmatch(target):
                plugin.errors.append(f"{hook}(): {name}: {target!r} is not of the form 'package.module:Class'")
            else:
                plugin.components.append(Component(kind, name, plugin.name, plugin.distribution, target))

    def _recipes(self, plugin: Plugin, module: ModuleType) -> Path | None:
        answer = self._call(plugin, "rk_recipes")
        if answer is not None:
            if isinstance(answer, str | Path) and Path(answer).is_dir():
                return Path(answer)
            plugin.errors.append(f"rk_recipes() returned {answer!r}, which is no folder")
            return None
        origin = getattr(module, "__file__", None)
        default = Path(origin).parent / "recipes" if origin else None
        return default if default is not None and default.is_dir() else None
