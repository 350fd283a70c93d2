"""Finding plugins and keeping each one's mistakes its own.

A plugin is a module named by an entry point in the group ``rk.plugins``. It is loaded and asked on its own: one that
fails to import, returns rubbish from a hook, or clashes with another is reported with its distribution's name, and
nothing that does not need it notices. There is no global registry: a `Plugins` object is made per process, or per test.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pluggy

from rk import hookspecs
from rk.compatibility import HOST, allows, header, host_range, normalized, too_new
from rk.errors import UserError, nearest, printable
from rk.hookspecs import HOOK_OF_KIND
from rk.isolation import Isolation
from rk.record import made, record
from rk.version import __version__

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

    from rk.index.kept import Index

GROUP = "rk.plugins"
BUILTIN = "rk"
"""The name under which the built-in components are registered: ``rk/backprop``."""
DISABLE_VARIABLE = "RK_DISABLE_PLUGINS"
"""Names of plugins or distributions that are not loaded, comma-separated; ``*`` stands for all."""
ADVICE = f"{DISABLE_VARIABLE}=NAME leaves a plugin out"
"""The hint for a plugin that takes too long."""

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
MAX_NAME = 100
"""Characters of a component's name."""
MAX_NAMES = 1000
"""Names that one hook may return."""
MAX_ERRORS = 20
"""Mistakes of one plugin that are shown."""


class PluginEntry:
    """An installed entry point: what is known of a plugin before it is loaded.

    Args:
        name: The plugin's short name.
        module: The module with its hooks.
        distribution: The distribution that brings it.
        version: That distribution's version.
        host: The range of host versions that it requires; None takes any.
        metadata: The installed distribution, which is read for these three when needed.
        damage: Why the entry point itself cannot be used.
        requirements: What the distribution requires, where no metadata is given.
    """

    def __init__(
        self,
        name: str,
        module: str,
        distribution: str | None = None,
        version: str | None = None,
        host: str | None = None,
        metadata: Distribution | None = None,
        damage: str | None = None,
        requirements: Iterable[str] = (),
    ) -> None:
        self.name = name
        self.module = module
        self._distribution = distribution
        self._version = version
        self._host = host
        self._metadata = metadata
        self._damage = damage
        self._requirements = list(requirements)

    @functools.cached_property
    def distribution(self) -> str:
        return self._distribution or header("Name", self._core[0]) or _folder_name(self._metadata) or "?"

    @functools.cached_property
    def version(self) -> str:
        return self._version or header("Version", self._core[0]) or "?"

    @functools.cached_property
    def host(self) -> str | None:
        """The range of host versions that the distribution requires."""
        return self._host if self._metadata is None else host_range(self._core[0])

    @property
    def damage(self) -> str | None:
        """Why the plugin cannot be described: its installed metadata cannot be read."""
        return self._damage or self._core[1]

    @property
    def requirements(self) -> list[str]:
        """The requirements of the distribution, those of its extras too: the values of ``Requires-Dist``."""
        if self._metadata is None:
            return self._requirements
        lines = self._core[0].partition("\n\n")[0].splitlines()
        return [line.partition(":")[2].strip() for line in lines if line.startswith("Requires-Dist:")]

    @functools.cached_property
    def _core(self) -> tuple[str, str | None]:
        """The text of the core metadata, empty where there is none, and why it cannot be read."""
        if self._metadata is None:
            return "", None
        try:  # as text: parsing it as a message costs more than loading the plugin
            return self._metadata.read_text("METADATA") or self._metadata.read_text("PKG-INFO") or "", None
        except Exception as error:
            return "", f"its METADATA cannot be read ({said(error)}); install it again"


def _folder_name(metadata: Distribution | None) -> str | None:
    """Returns a distribution's name as its folder has it: what a broken uninstall leaves has no other."""
    folder = getattr(getattr(metadata, "_path", None), "name", "")
    stem = folder.removesuffix(".dist-info").removesuffix(".egg-info").partition("-")[0]
    return stem.replace("_", "-") or None


@record
class Component:
    """A name that a plugin gave to a class; nothing of it is imported."""

    kind: str
    name: str
    plugin: str
    target: str
    entry: PluginEntry

    @property
    def qualified(self) -> str:
        return f"{self.plugin}/{self.name}"

    @property
    def distribution(self) -> str:
        return self.entry.distribution


@record
class Plugin:
    """One plugin as it was found: its components, or what is wrong with it."""

    entry: PluginEntry
    components: list[Component] = made(default_factory=list)
    recipes: Path | None = None
    errors: list[str] = made(default_factory=list)
    exception: BaseException | None = None
    disabled: bool = False

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def distribution(self) -> str:
        return self.entry.distribution

    @property
    def version(self) -> str:
        return self.entry.version

    @property
    def state(self) -> str:
        """``ok``, ``partial`` (some hooks failed), ``failed`` (nothing could be used) or ``disabled``."""
        if not self.errors:
            return "disabled" if self.disabled else "ok"
        return "partial" if self.components or self.recipes else "failed"


def installed() -> list[PluginEntry]:
    """Returns the plugins' entry points, by name; loads none of them."""
    from importlib.metadata import entry_points

    points: list[EntryPoint]
    damaged: list[PluginEntry]
    try:
        points, damaged = list(entry_points(group=GROUP)), []
    except Exception:  # of one distribution among them
        points, damaged = _entry_points_one_by_one()
    entries: dict[tuple[str, str, object], PluginEntry] = {}
    for point in points:
        where = getattr(point.dist, "_path", None)  # the same one twice on the path is not a clash
        entries.setdefault((point.name, point.value, where), PluginEntry(point.name, point.value, metadata=point.dist))
    return [entries[key] for key in sorted(entries, key=str)] + damaged


def _entry_points_one_by_one() -> tuple[list[EntryPoint], list[PluginEntry]]:
    """Returns the entry points that can be read, and a damaged entry for each distribution of a plugin whose cannot."""
    from importlib.metadata import distributions

    points: list[EntryPoint] = []
    damaged: list[PluginEntry] = []
    seen: set[str] = set()
    for distribution in distributions():
        where = getattr(distribution, "_path", None)
        stem = _folder_name(distribution) or str(where)
        if normalized(stem) in seen:  # further back on the path
            continue
        seen.add(normalized(stem))
        try:
            points += distribution.entry_points.select(group=GROUP)
        except Exception as error:
            name = normalized(stem).removeprefix("rk-")
            if name != normalized(stem) or _mentions_plugins(where):
                why = f"its entry_points.txt cannot be read ({said(error)}); install it again"
                damaged.append(PluginEntry(name, "", stem, metadata=distribution, damage=why))
    return points, damaged


def _mentions_plugins(where: Any) -> bool:
    try:
        return GROUP.encode() in (where / "entry_points.txt").read_bytes()
    except (OSError, TypeError):
        return False


class Plugins:
    """The loaded plugins, the built-in components first.

    Args:
        entries: What to load; by default, all that is installed.
    """

    index: Index | None = None
    """The cache about these plugins between commands; `rk.snapshot.listed` gives plugins that have one."""

    def __init__(self, entries: Iterable[PluginEntry] | None = None) -> None:
        self.plugins: list[Plugin] = []
        self._isolation: Isolation | None
        with self._guard() as self._isolation:
            self._load_all(installed() if entries is None else entries)

    @functools.cached_property
    def _manager(self) -> pluggy.PluginManager:
        manager = pluggy.PluginManager("rk")
        manager.add_hookspecs(hookspecs)
        return manager

    def _guard(self) -> contextlib.AbstractContextManager[Isolation | None]:
        return Isolation(ADVICE)

    def _load_all(self, entries: Iterable[PluginEntry]) -> None:
        self._load(PluginEntry(BUILTIN, "rk.builtin", HOST, __version__))
        disabled = disabled_names()
        for entry in entries:
            if is_disabled(entry, disabled):
                self.plugins.append(Plugin(entry, disabled=True))
            else:
                self._load(entry)

    def __iter__(self) -> Iterator[Plugin]:
        return iter(self.plugins)

    @property
    def components(self) -> list[Component]:
        return [c for plugin in self.plugins for c in plugin.components]

    @property
    def broken(self) -> list[Plugin]:
        return [plugin for plugin in self.plugins if plugin.errors]

    def find(self, name: str) -> Plugin:
        """Returns the plugin called `name`, or that of the distribution `name`. Raises `UserError`."""
        found = next(
            (p for p in self.plugins if p.name == name or normalized(p.distribution) == normalized(name)), None
        )
        if found is None:
            raise UserError(f"unknown plugin {name!r}", self.absent(name.removeprefix("rk-")))
        return found

    def absent(self, name: str) -> str:
        """Returns a hint for the missing plugin `name`."""
        names = sorted(p.name for p in self.plugins)
        close = nearest(name, names)
        said = f"there is no plugin {name} (installed: {', '.join(names)})"
        if close:
            return f"{said}; did you mean {close}?"
        return f"{said}; if it is a published one: pip install rk-{name}" if _NAME.fullmatch(name) else said

    def add(self, module: ModuleType, name: str, distribution: str) -> Plugin:
        """Registers a module that is not installed (tests, notebooks)."""
        plugin = Plugin(PluginEntry(name, module.__name__, distribution, "0"))
        self.plugins.append(plugin)
        with Isolation() as self._isolation:
            self._ask(plugin, module)
        return plugin

    def _load(self, entry: PluginEntry) -> None:
        plugin = Plugin(entry)
        self.plugins.append(plugin)
        if (error := self._refusal(entry)) is not None:
            plugin.errors.append(error)
            return
        module = self._run(plugin, f"import {entry.module}", importlib.import_module, entry.module)
        if module is not None:
            self._ask(plugin, module)

    def _refusal(self, entry: PluginEntry) -> str | None:
        """Returns why a plugin is not even imported."""
        if entry.damage is not None:
            return entry.damage
        if not is_name(entry.name):
            return f"entry point {printable(repr(entry.name))}: names are lower-case words joined by hyphens"
        twin = next((p for p in self.plugins[:-1] if p.name == entry.name), None)
        if twin is not None:
            owner = f"{twin.distribution} {twin.version}"
            return f"the name {entry.name!r} is taken by {owner}; uninstall one"
        return _made_for_another_host(entry)

    def _run(self, plugin: Plugin, what: str, function: Callable[..., Any], *args: object) -> Any:
        """Returns what a plugin's code returns; None where it raises, which is noted as the plugin's mistake."""
        if self._isolation is None:
            raise RuntimeError(f"{plugin.distribution} is not loaded here: it is known from the index")
        answer, error = self._isolation.call(f"loading {plugin.distribution} ({what})", function, *args)
        if error is not None:
            plugin.errors.append(f"{what}: {said(error)}" if what else said(error))
            plugin.exception = error
        return answer

    def _ask(self, plugin: Plugin, module: ModuleType) -> None:
        """Registers the module and takes what its hooks return.

        All of it is the plugin's code: a module can put any object in its own place.
        """
        registered = self._run(plugin, "hooks", self._manager.register, module, plugin.name)
        if registered is None:
            return
        callers = {c.name: c for c in self._manager.get_hookcallers(module) or ()}
        self._run(plugin, "hooks", lambda: plugin.errors.extend(_mistaken_hooks(module, callers)))
        for kind, hook in HOOK_OF_KIND.items():
            if hook in callers and (answer := self._call(plugin, hook)) is not None:
                self._run(plugin, f"{hook}()", self._take, plugin, kind, hook, answer)
        answer = self._call(plugin, "rk_recipes") if "rk_recipes" in callers else None
        plugin.recipes = self._run(plugin, "recipes", self._recipes, plugin, module, answer)
        if len(plugin.errors) > MAX_ERRORS:
            more = len(plugin.errors) - MAX_ERRORS
            plugin.errors[MAX_ERRORS:] = [f"{more:,} more mistakes"]

    def _call(self, plugin: Plugin, hook: str) -> Any:
        """Calls this plugin's implementation alone, so that what it returns or raises is known to be its own."""
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            if implementation.plugin_name == plugin.name:
                return self._run(plugin, f"{hook}()", implementation.function)
        return None

    def _take(self, plugin: Plugin, kind: str, hook: str, answer: object) -> None:
        if not isinstance(answer, dict):
            plugin.errors.append(f"{hook}() returned {type(answer).__name__}; expected a dict of name: 'module:Class'")
            return
        if len(answer) > MAX_NAMES:
            plugin.errors.append(f"{hook}() returned {len(answer):,} names; at most {MAX_NAMES:,} are taken")
            return
        for name, target in answer.items():
            if not isinstance(name, str) or not is_name(name):
                wrong = f"{_shown(name)} is not a valid name: names are lower-case words joined by hyphens"
                plugin.errors.append(f"{hook}(): {wrong}")
            elif not isinstance(target, str) or not _TARGET.fullmatch(target):
                plugin.errors.append(f"{hook}(): {name}: {_shown(target)} is not of the form 'package.module:Class'")
            else:
                plugin.components.append(Component(kind, name, plugin.name, target, plugin.entry))

    def _recipes(self, plugin: Plugin, module: ModuleType, answer: object) -> Path | None:
        if answer is not None:
            if isinstance(answer, str | Path) and Path(answer).is_dir():
                return Path(answer)
            plugin.errors.append(f"rk_recipes() returned {_shown(answer)}, which is not a folder")
            return None
        origin = getattr(module, "__file__", None)
        default = Path(origin).parent / "recipes" if origin else None
        return default if default is not None and default.is_dir() else None


def disabled_names() -> set[str]:
    """Returns what `DISABLE_VARIABLE` names."""
    return {normalized(name.strip()) for name in os.environ.get(DISABLE_VARIABLE, "").split(",") if name.strip()}


def is_disabled(entry: PluginEntry, disabled: set[str]) -> bool:
    """Whether `disabled` holds the plugin, by its own name or its distribution's, or all."""
    return bool(disabled) and ("*" in disabled or bool({entry.name, normalized(entry.distribution)} & disabled))


def _made_for_another_host(entry: PluginEntry) -> str | None:
    """Returns the message and the hint for a plugin whose distribution requires another version of rk."""
    try:
        if entry.host is None or allows(entry.host, __version__):
            return None
    except ValueError:
        return f"requires {HOST}{entry.host}, which is not a version range"
    upgrade = entry.distribution if too_new(entry.host, __version__) else HOST
    return f"made for {HOST}{entry.host}, and this is {__version__}; try: pip install --upgrade {upgrade}"


def is_name(name: str) -> bool:
    """Whether plugins and components may be called so."""
    return len(name) <= MAX_NAME and _NAME.fullmatch(name) is not None


def said(error: BaseException) -> str:
    """Returns the kind of an exception and its message, in one line of bounded length."""
    try:
        text = printable(" ".join(str(error).split()))
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text}".removesuffix(": ")


def _shown(value: object) -> str:
    """Returns the repr of what a plugin has returned, in one line of bounded length."""
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return printable(text, 200)


def _mistaken_hooks(module: ModuleType, callers: dict[str, Any]) -> list[str]:
    """Returns the messages for functions that look like hooks but are never called."""
    hooks = [*HOOK_OF_KIND.values(), "rk_recipes"]
    mistakes = [f"{h}() is not marked with @rk.hookimpl" for h in hooks if h in vars(module) and h not in callers]
    for name, caller in callers.items():
        if not caller.has_spec():
            close = nearest(name.removeprefix("rk_"), [h.removeprefix("rk_") for h in hooks])
            mistakes.append(f"{name}() is not a hook of this version of rk" + (f"; rk_{close}() is" if close else ""))
    return mistakes
