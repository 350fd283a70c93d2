"""The catalog: from a kind and a name to a component, its signature, and, at last, its class."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rk.errors import UserError, suggest
from rk.isolation import Isolation
from rk.kinds import KINDS
from rk.plugins import BUILTIN, DISABLE_VARIABLE, Component, Plugins, said
from rk.reads import once

if TYPE_CHECKING:  # reading sources takes a while to import: a listing that the index answers does not need it
    from rk.index.answers import Answers
    from rk.static import ClassInfo, Signature

_FILE_NAME = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,6}(\.gz)?$")
"""``mine.jsonl``, ``data/rows.csv.gz``: names of components have no dots."""


def plural(kind: str) -> str:
    """Returns the word for several components of `kind`."""
    return KINDS[kind].plural


class Unresolved(UserError):
    """A name that leads to no component, or to several."""


class Catalog:
    """All components of the loaded plugins.

    Args:
        plugins: Where they come from; by default all that is installed.
    """

    def __init__(self, plugins: Plugins | None = None) -> None:
        self.plugins = Plugins() if plugins is None else plugins
        self._by_kind: dict[str, list[Component]] = {}
        for component in self.plugins.components:
            self._by_kind.setdefault(component.kind, []).append(component)

    def of_kind(self, kind: str) -> list[Component]:
        return self._by_kind.get(kind, [])

    def resolve(self, kind: str, name: str, own_plugin: str | None = None) -> Component:
        """Returns the component `name` of `kind`.

        A short name means the recipe's own plugin's, then a built-in, then the only other one.

        Args:
            kind: One of `rk.kinds.KINDS`.
            name: ``name`` or ``plugin/name``.
            own_plugin: The plugin whose recipe asks.

        Raises:
            Unresolved: With the nearest right spelling, or with the plugins that clash.
        """
        candidates = self.of_kind(kind)
        if "/" in name:
            found = [c for c in candidates if c.qualified == name]
        else:
            found = [c for c in candidates if c.name == name]
        for preferred in (own_plugin, BUILTIN):
            if any(c.plugin == preferred for c in found):
                return next(c for c in found if c.plugin == preferred)
        if len(found) == 1:
            return found[0]
        if found:
            owners = " and ".join(c.distribution for c in found)
            names = " or ".join(c.qualified for c in found)
            raise Unresolved(f"the {kind} {name!r} is offered by {owners}", f"write {names}")
        raise Unresolved(f"unknown {kind} {name!r}", self._hint(kind, name, candidates))

    def _hint(self, kind: str, name: str, candidates: list[Component]) -> str | None:
        from rk.static.types import ComponentType

        elsewhere = [c for c in self.plugins.components if name in (c.name, c.qualified)]
        if elsewhere:
            return f"{name} is {ComponentType(kind=elsewhere[0].kind)}, of {elsewhere[0].distribution}"
        if (hint := self._file_hint(name, candidates)) is not None:
            return hint
        if "/" in name:
            plugin = name.partition("/")[0]
            found = next((p for p in self.plugins if p.name == plugin), None)
            if found is None:
                return self.plugins.absent(plugin)
            if found.disabled:
                return f"{found.distribution} is disabled by {DISABLE_VARIABLE} or --no-plugins"
            if found.errors:
                return f"{found.distribution} is installed but {found.errors[0]}"
        choices = [c.qualified if "/" in name else c.name for c in candidates]
        hint = suggest(name, set(choices), f"installed {plural(kind)}")
        broken_names = ", ".join(p.distribution for p in self.plugins.broken)
        if broken_names:
            hint = f"{hint or 'none is installed'}; not loaded: {broken_names} (see rk plugins doctor)"
        return hint or f"no {kind} is installed"

    def _file_hint(self, name: str, candidates: list[Component]) -> str | None:
        """Returns a hint for the name of a file where a component's was expected: which components read files."""
        if not _FILE_NAME.search(name):
            return None
        from rk.static.docstring import summary

        takers = [(c, param) for c in candidates if (param := self._path_parameter(c)) is not None]
        if not takers:
            return None
        ending = name.lower().removesuffix(".gz").rpartition(".")[2]
        word = {"txt": "text", "tsv": "csv"}.get(ending, ending)
        fitting = [(c, p) for c, p in takers if word in f"{c.name} {summary(self.info(c))}".lower()]
        best, param = (fitting or takers)[0]
        example = f"{{name: {best.name}, {param}: {name}}}"
        names = ", ".join(sorted({c.name for c, _ in takers}))
        return f"{name} looks like a file: name what reads it, as in '{example}' (files are read by {names})"

    def _path_parameter(self, component: Component) -> str | None:
        from rk.static.types import PATH

        try:
            params = self.signature(component).params
        except UserError:
            return None
        return next((p.name for p in params if PATH in getattr(p.type, "options", (p.type,))), None)

    def summaries(self, components: Sequence[Component]) -> list[str]:
        """Returns the first line of each component's docstring, or why it cannot be read."""
        from rk.index.answers import Answers

        alive = {c.target for c in self.plugins.components}
        with Answers(self.plugins.index, "summaries", alive=alive) as answers:
            return [self._summary(component, answers) for component in components]

    def _summary(self, component: Component, answers: Answers) -> str:
        def read() -> str:
            from rk.static.docstring import summary

            return summary(self.info(component))

        try:
            return answers.answer(component.target, read)
        except UserError as error:
            return f"cannot be read: {error.message}"

    def info(self, component: Component) -> ClassInfo:
        """Returns the component's class as syntax. Raises `UserError` naming the distribution."""
        return _info(component)

    def signature(self, component: Component) -> Signature:
        """Returns the constructor's parameters. Raises `UserError` naming the distribution."""
        return _signature(component)

    def load(self, component: Component) -> type[Any]:
        """Imports the component's class.

        Raises:
            UserError: When its module fails, naming what to install where another module is missing.
        """
        from rk.blame import remember

        owner = f"{component.distribution}: {component.kind} {component.name}"
        with Isolation() as isolation:
            cls, error = isolation.call(
                f"importing {component.target} of {component.distribution}", _imported, component
            )
        if isinstance(error, ImportError):
            from rk.lacking import lacking

            raise lacking(owner, component.entry, error, f"import {component.target}") from error
        if error is not None:
            raise UserError(f"{owner}: import {component.target}: {said(error)}") from error
        if not isinstance(cls, type):
            raise UserError(f"{owner}: {component.target} is {type(cls).__name__}; a component is a class")
        remember(cls, component)
        return cls


def _imported(component: Component) -> Any:
    module, _, name = component.target.partition(":")
    return getattr(importlib.import_module(module), name)


@once
def _info(component: Component) -> ClassInfo:
    from rk.static import StaticError, load_class

    try:
        return load_class(component.target)
    except StaticError as error:
        raise UserError(f"{component.distribution}: {component.kind} {component.name}: {error}") from None


@once
def _signature(component: Component) -> Signature:
    from rk.static import StaticError, constructor

    try:
        return constructor(_info(component))
    except StaticError as error:
        raise UserError(f"{component.distribution}: {component.kind} {component.name}: {error}") from None
