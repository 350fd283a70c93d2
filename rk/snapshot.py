"""The plugins as they were found, kept between commands: names, targets, distributions, versions, recipe folders.

A plugin is kept if nothing was wrong with it and it printed nothing while it was loaded; all others are loaded by
every command, which shows their messages each time. Commands that run a component load real plugins.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from rk.index.kept import Index, folder_of, read, write
from rk.index.stamps import Stamps, digest
from rk.isolation import Isolation
from rk.plugins import ADVICE, BUILTIN, DISABLE_VARIABLE, Component, Plugin, PluginEntry, Plugins, installed
from rk.reads import Reads
from rk.values import Plain, PlainDict
from rk.version import __version__

NAME = "plugins.json"
FORMAT = 3
"""Changes when what is kept changes its form."""
FORM_ERRORS = (KeyError, TypeError, ValueError, AttributeError, IndexError)
"""Exceptions for an undamaged index file of another form."""
OWN_SOURCES = ("", "index", "recipe", "static")
"""Folders of the host whose code decides what is kept."""


def search_path() -> list[str]:
    """Returns the folders and archives that Python imports from, as absolute paths."""
    return [os.path.abspath(entry) for entry in sys.path if isinstance(entry, str)]


def environment() -> list[Plain]:
    """Returns what an index holds for: another Python, host or path has another index."""
    finders = [getattr(f, "__qualname__", type(f).__qualname__) for f in sys.meta_path]
    return [
        FORMAT,
        __version__,
        os.path.dirname(os.path.abspath(__file__)),
        sys.version,
        sys.prefix,
        list(sys.flags),
        list(sys.warnoptions),
        search_path(),
        finders,
        os.environ.get(DISABLE_VARIABLE, ""),
    ]


class KnownPlugins(Plugins):
    """Plugins as a snapshot has them; those that it does not know are loaded.

    Args:
        records: What `_record` made of each plugin, in their order.
        index: What else is kept about them.
    """

    def __init__(self, records: list[PlainDict], index: Index) -> None:
        self._records = records
        self.index = index
        super().__init__(())

    def _guard(self) -> contextlib.AbstractContextManager[Isolation | None]:
        return super()._guard() if any("unknown" in r for r in self._records) else contextlib.nullcontext()

    def _load_all(self, entries: Iterable[PluginEntry]) -> None:
        found: list[PluginEntry] | None = None
        for number, record in enumerate(self._records):
            if "unknown" in record:
                found = installed() if found is None else found
                self._load(found[number - 1])  # the first plugin is the host's own
            else:
                self.plugins.append(_plugin(record))


class WatchedPlugins(Plugins):
    """Loads all that is installed, and sees which plugins can be kept."""

    def __init__(self) -> None:
        from rk.watch import Watch

        self.watch = Watch(ADVICE)
        self.began = time.time_ns()
        self.spoke: list[Plugin] = []
        self.was_loaded = False
        super().__init__(())

    def _guard(self) -> contextlib.AbstractContextManager[Isolation | None]:
        return self.watch

    def _load_all(self, entries: Iterable[PluginEntry]) -> None:
        super()._load_all(installed())

    def _load(self, entry: PluginEntry) -> None:
        self.was_loaded |= entry.module in sys.modules and entry.name != BUILTIN
        super()._load(entry)
        if self.watch.spoke():
            self.spoke.append(self.plugins[-1])

    def records(self) -> list[PlainDict]:
        """Returns what is to be kept of each plugin."""
        return [{"unknown": True} if p.errors or p in self.spoke else _record(p) for p in self.plugins]


def _record(plugin: Plugin) -> PlainDict:
    entry = plugin.entry
    return {
        "entry": [entry.name, entry.module, entry.distribution, entry.version, entry.host],
        "requirements": entry.requirements,
        "components": [[c.kind, c.name, c.target] for c in plugin.components],
        "recipes": None if plugin.recipes is None else os.path.abspath(plugin.recipes),
        "lacks": _default_recipes(plugin),
        "disabled": plugin.disabled,
    }


def _default_recipes(plugin: Plugin) -> str | None:
    """Returns the folder whose recipes would be the plugin's, if it were there."""
    origin = getattr(sys.modules.get(plugin.entry.module), "__file__", None)
    if plugin.recipes is not None or not isinstance(origin, str):
        return None
    return os.path.join(os.path.dirname(os.path.abspath(origin)), "recipes")


def _plugin(record: PlainDict) -> Plugin:
    name, module, distribution, version, host = record["entry"]
    entry = PluginEntry(name, module, distribution, version, host, requirements=record["requirements"])
    components = [Component(kind, name, entry.name, target, entry) for kind, name, target in record["components"]]
    recipes = None if record["recipes"] is None else Path(record["recipes"])
    return Plugin(entry, components, recipes, disabled=record["disabled"])


def _has_its_recipes(record: PlainDict) -> bool:
    """Whether the folder of a plugin's recipes is still there, or still not there."""
    if "unknown" in record:
        return True
    there, lacks = record["recipes"], record["lacks"]
    return (there is None or os.path.isdir(there)) and (lacks is None or not os.path.isdir(lacks))


def stored(folder: Path, key: list[Plain]) -> PlainDict | None:
    """Returns the snapshot of an environment in which nothing has changed since, else None."""
    kept = read(folder / NAME)
    if kept is None or kept.get("key") != json.loads(json.dumps(key)):
        return None
    own, rest = Stamps(kept["own"], {}), Stamps(kept["files"], kept["folders"])
    paths = Stamps({}, kept["paths"], importable=True)
    if not (paths.all_fresh() and own.all_fresh() and rest.all_fresh()):
        return None
    if kept["variables"] != _variables(kept["variables"]) or not all(map(_has_its_recipes, kept["plugins"])):
        return None
    if paths.refreshed or rest.refreshed:
        write(folder / NAME, kept)
    return kept


def _variables(names: Iterable[str]) -> dict[str, str | None]:
    """Returns digests of what environment variables hold: they may be secrets."""
    return {name: None if (value := os.environ.get(name)) is None else digest(value) for name in names}


def _index(folder: Path, kept: PlainDict) -> Index:
    return Index(folder, digest(json.dumps(kept["own"])), _digest_of_paths(kept))


def _digest_of_paths(kept: PlainDict) -> str:
    return digest(json.dumps({path: names for path, (_, names) in kept["paths"].items()}))


def take(folder: Path, key: list[Plain]) -> Plugins:
    """Loads all plugins and keeps what is known of them, unless something was being changed meanwhile."""
    began = time.time_ns()
    own, rest, paths = Stamps({}, {}), Stamps({}, {}), Stamps({}, {}, importable=True)
    searched = {path for path in search_path() if path not in _standard()}
    rested = own.take(_own_sources(), (), began)
    rested &= paths.take({p for p in searched if os.path.isfile(p)}, (), began) and paths.take((), searched, began)
    try:
        plugins = WatchedPlugins()
    except OSError:
        return Plugins()
    read_too = _outside(plugins.watch.reads, searched)
    rested &= rest.take({*read_too.files, *paths.files}, read_too.folders, began)
    if rested and not plugins.was_loaded and not plugins.watch.all_variables:
        kept = {
            "key": key,
            "own": own.files,
            "paths": paths.folders,
            "files": rest.files,
            "folders": rest.folders,
            "variables": _variables(sorted(plugins.watch.variables)),
            "plugins": plugins.records(),
            "names": [plugin.name for plugin in plugins.plugins[1:]],
        }
        write(folder / NAME, kept)
        plugins.index = _index(folder, kept)
    return plugins


def _own_sources() -> list[str]:
    root = os.path.dirname(os.path.abspath(__file__))
    folders = [os.path.join(root, name) for name in OWN_SOURCES]
    return [os.path.join(f, name) for f in folders for name in sorted(os.listdir(f)) if name.endswith(".py")]


def _standard() -> list[str]:
    """Returns the folders of Python's own library, which changes with the version alone."""
    library = os.path.dirname(os.path.abspath(os.__file__))
    return [library, os.path.join(library, "lib-dynload")]


def _outside(reads: Reads, searched: set[str]) -> Reads:
    """Returns what was read outside of Python's own library; byte code counts as its source."""
    library = _standard()[0]
    found = Reads()
    for path in map(_source, reads.files):
        if _is_others(path, library):
            found.files.add(path)
    for path in reads.folders:
        if _is_others(path, library) and path not in searched:
            found.folders.add(path)
    return found


def _is_others(path: str, library: str) -> bool:
    if path.startswith(("/proc/", "/dev/", "/sys/")):
        return False
    inside = path.startswith(f"{library}{os.sep}")
    return not inside or "-packages" in path.removeprefix(library)  # site-packages, dist-packages


def _source(path: str) -> str:
    if not path.endswith(".pyc"):
        return path
    try:
        return importlib.util.source_from_cache(path)
    except (ValueError, NotImplementedError):
        return path


def listed() -> Plugins:
    """Returns the installed plugins for a command that lists or checks and runs none of their components."""
    key = environment()
    folder = folder_of(key)
    if folder is None:
        return Plugins()
    try:
        kept = stored(folder, key)
        known = None if kept is None else KnownPlugins(kept["plugins"], _index(folder, kept))
    except FORM_ERRORS:
        known = None
    return take(folder, key) if known is None else known


def installed_names() -> list[str]:
    """Returns the names of the installed plugins, as their entry points have them; loads none of them."""
    key = environment()
    folder = folder_of(key)
    try:
        kept = None if folder is None else stored(folder, key)
        if kept is not None:
            return [str(name) for name in kept["names"]]
    except FORM_ERRORS:
        pass
    return [entry.name for entry in installed()]
