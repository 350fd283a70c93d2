"""Components of a recipe: which one a name means, and its parameters against its constructor."""

from __future__ import annotations

import functools
from typing import Any

from rk.catalog import plural
from rk.errors import Mark, Problem, UserError, nearest, suggest
from rk.hookspecs import HOOK_OF_KIND
from rk.plugins import Component
from rk.recipe.find import owner_of
from rk.recipe.hints import missing
from rk.recipe.model import EnumRef, Spec, Struct
from rk.recipe.tree import BROKEN, Mapping, Node, Scalar, Sequence, describe
from rk.recipe.values import INVALID, Values, is_broken, join
from rk.recipe.wording import listed
from rk.static import ClassInfo, Param, Signature, class_of, constructor, load_class, method
from rk.static.literals import literal
from rk.static.types import ComponentType, StructType
from rk.values import PlainDict, Value

NOTHING: dict[str, str] = {}


class Components(Values):
    """Turns nodes into specs of components; arguments as for `Values`."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.unknown: list[tuple[Problem, str, list[str], str]] = []
        """The problems of unknown keys, with the key, what is accepted there, and the words that introduce it."""
        self._plugins: dict[str, str | None] = {}

    def component(self, node: Node, type_: ComponentType, key: str) -> Value:
        """Checks a component, given as a bare name or as a mapping with ``name``.

        Returns:
            A `Spec`, with what is right of the parameters, or INVALID when it is not known which component is meant.
        """
        kind = type_.kind
        if is_broken(node):
            return INVALID
        if isinstance(node, Scalar) and isinstance(node.value, str):
            node = Mapping({"name": node}, node.mark, {"name": node.mark})
        if not isinstance(node, Mapping):
            return self.report(node.mark, key, f"expected {type_}, got {describe(node)}", f"{key}: {{name: ...}}")
        name = node.items.get("name")
        if name is None:
            choices = [c.name for c in self.catalog.of_kind(kind)]
            hint = suggest("", sorted(choices), f"installed {plural(kind)}") or f"no {kind} is installed"
            if misspelt := next((k for k in node.items if nearest(k, ["name"])), None):
                hint = f"did you mean name instead of {misspelt}?"
            return self.report(node.mark, f"{key}.name", f"missing: which {kind}", hint)
        if is_broken(name):
            return INVALID
        if not isinstance(name, Scalar) or not isinstance(name.value, str):
            return self.report(name.mark, f"{key}.name", f"expected the name of {type_}, got {describe(name)}")
        try:
            component = self.catalog.resolve(kind, name.value, self._plugin_of(name.mark))
            signature = self.catalog.signature(component)
            info = self.catalog.info(component)
        except UserError as error:
            return self.report(name.mark, key, error.message, error.hint)
        renamed = class_names(info, "renamed")
        if self.stored:
            node = _with_new_names(node, renamed, signature)
        supplied = supplied_parameters(type_)
        if not self._fits_protocol(info, component, signature, type_, name.mark, key):
            return INVALID
        params = self.params(node, signature, key, supplied=supplied, owner=component, renamed=renamed)
        absent = [p for p in signature.params if p.name not in node.items and p.name not in supplied]
        lacking = tuple(p for p in absent if p.required) if is_spelt_right(node, signature) else ()
        return Spec(
            component,
            {k: v for k, v in params.items() if v is not INVALID},
            lacking,
            node.mark,
            key,
            self._defaults([p for p in signature.params if p.name not in supplied]),
            supplied if type_.factory else None,
            frozenset(p.name for p in signature.params if p.decode),
            frozenset(p.name for p in signature.params if p.training),
        )

    @functools.cached_property
    def _label(self) -> str:
        return "" if self.file is None else self.file.label

    def _plugin_of(self, mark: Mark) -> str | None:
        """Returns the plugin whose recipe has the name: short names mean its own components, extended or not."""
        if not mark.line or self.file is None or mark.source == self._label:
            return self.plugin
        if mark.source not in self._plugins:
            self._plugins[mark.source] = owner_of(mark.source, self.catalog.plugins)
        return self._plugins[mark.source] or self.plugin

    def _fits_protocol(
        self, info: ClassInfo, component: Component, signature: Signature, type_: ComponentType, mark: Mark, key: str
    ) -> bool:
        """Checks what the annotation asks for beyond the kind: members, and the parameters that a caller supplies."""
        protocol = class_of(type_.protocol)
        if protocol is None:
            return True
        if lacking := missing_members(info, protocol):
            self.report(mark, key, f"{component.name} is not a {protocol.node.name}: it has no {listed(lacking)}")
            return False
        if refused := [n for n in supplied_parameters(type_) if n not in signature]:
            self.report(mark, key, f"{component.name} does not take {listed(refused)}, which its user supplies")
            return False
        return True

    def params(
        self,
        node: Mapping,
        signature: Signature,
        key: str,
        *,
        supplied: tuple[str, ...] = (),
        owner: Component | None = None,
        renamed: dict[str, str] = NOTHING,
    ) -> PlainDict:
        """Checks the parameters of a component, or of a section of the host's where there is no `owner`.

        Args:
            node: The parameters as they are written.
            signature: What there is.
            key: Where they stand.
            supplied: Parameters that another component passes.
            owner: The component.
            renamed: Earlier name of a parameter -> its name.
        """
        values: PlainDict = {}
        for name, child in node.items.items():
            where, mark = join(key, name), node.mark_of(name)
            if name in supplied:
                self.report(mark, where, "is supplied by the component that uses this one", "leave it out")
            elif name in signature:
                values[name] = self.value(child, signature[name].type, where)
            elif name in renamed:
                self.report(mark, where, "unknown parameter", f"{name} is called {renamed[name]} now")
            elif owner is None:
                self.unknown_key(mark, where, name, "unknown key", list(signature.names), "choose from")
            elif name != "name":
                accepted = [n for n in signature.names if n not in supplied]
                noun = f"{owner.name} of {owner.distribution} takes"
                self.unknown_key(mark, where, name, "unknown parameter", accepted, noun)
                self.problems[-1].hint = self.problems[-1].hint or f"{owner.name} takes no parameters"
        return values

    def unknown_key(self, mark: Mark, key: str, name: str, message: str, accepted: list[str], noun: str) -> None:
        """Reports an unknown key; where it belongs is known when the whole recipe has been read."""
        self.report(mark, key, message, suggest(name, accepted, noun))
        self.unknown.append((self.problems[-1], name, accepted, noun))

    def _defaults(self, params: list[Param]) -> PlainDict:
        """Returns the defaults that a stored recipe spells out, so that a plugin's later version changes nothing.

        A default that a recipe cannot express, or that does not fit its own annotation, is left to the constructor.
        """
        outer, self.problems = self.problems, []
        try:
            found = {p.name: self.value(_as_node(p.default), p.type, "") for p in params if not p.required}
        finally:
            self.problems = outer
        return {name: value for name, value in found.items() if value is not None and _is_plain(value)}

    def struct(self, node: Node, type_: StructType, key: str) -> Value:
        """Checks the fields of a dataclass; those that are left out keep the defaults in its source."""
        if not isinstance(node, Mapping):
            hint = f"{key}: {{{', '.join(f'{name}: ...' for name in type_.fields)}}}"
            return self.report(node.mark, key, f"expected a mapping {type_}, got {describe(node)}", hint)
        try:
            signature = constructor(load_class(type_.target))
        except UserError as error:
            return self.report(node.mark, key, error.message, error.hint)
        values = self.params(node, signature, key)
        absent = [p for p in signature.params if p.name not in node.items]
        for param in absent if is_spelt_right(node, signature) else ():
            if param.required:
                values[param.name] = self.report(node.mark, join(key, param.name), missing(param))
        if INVALID in values.values() or len(values) < len(node.items):
            return INVALID
        return Struct(type_.target, self._defaults(absent) | values)


def supplied_parameters(type_: ComponentType) -> tuple[str, ...]:
    """Returns the parameters that a factory's caller passes: those of the protocol's own constructor."""
    protocol = class_of(type_.protocol) if type_.factory else None
    init = None if protocol is None else method(protocol, "__init__")
    return tuple(init.names) if init else ()


def missing_members(info: ClassInfo, protocol: ClassInfo) -> list[str]:
    """Returns the members that `protocol` asks for beyond its kind and that the class `info` does not have.

    A class with bases that cannot be read may have them all the same: nothing is reported for it.
    """
    kinds = {kind.capitalize() for kind in HOOK_OF_KIND}
    own = (each for each in protocol.mro() if each.module.name != "rk.protocols" or each.node.name not in kinds)
    asked = {name for each in own for name in each.declared()}
    if [b for b in info.opaque_bases() if not b.startswith("typing.")]:
        return []
    return sorted(asked - info.members() - {"forward"})


def class_names(info: ClassInfo, name: str) -> dict[str, str]:
    """Returns the dict of names that a class has under `name`; an empty one where it has none, or no literal."""
    assigned = info.assigned(name)
    found = literal(assigned[0].module, assigned[1]) if assigned is not None else {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def _with_new_names(node: Mapping, renamed: dict[str, str], signature: Signature) -> Mapping:
    """Returns the parameters of a stored recipe by the names that they have now."""
    if not any(name in renamed and name not in signature for name in node.items):
        return node
    now = {name: name if name in signature else renamed.get(name, name) for name in node.items}
    marks = {now[name]: node.mark_of(name) for name in node.items}
    return Mapping({now[name]: child for name, child in node.items.items()}, node.mark, marks)


def class_literal(info: ClassInfo, name: str) -> tuple[str, ...]:
    """Returns the tuple of texts that a class has under `name`; an empty one where it has none, or no literal."""
    assigned = info.assigned(name)
    found = literal(assigned[0].module, assigned[1]) if assigned is not None else ()
    return tuple(x for x in found if isinstance(x, str)) if isinstance(found, list | tuple) else ()


def is_spelt_right(node: Mapping, signature: Signature) -> bool:
    """Whether all keys are known; else what seems to be missing may be what is misspelt."""
    return all(name == "name" or name in signature for name in node.items)


def _as_node(value: Value) -> Node:
    """Returns a plain value as a node without a place; one that no recipe can express as a broken one."""
    here = Mark("")
    if isinstance(value, list | tuple):
        return Sequence([_as_node(v) for v in value], here)
    if isinstance(value, dict) and all(isinstance(k, str) for k in value):
        return Mapping({k: _as_node(v) for k, v in value.items()}, here, {})
    return Scalar(value if value is None or isinstance(value, bool | int | float | str) else BROKEN, here)


def _is_plain(value: Value) -> bool:
    """Whether the value is the same wherever the recipe is read: no path, no run, no component."""
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    return value is None or isinstance(value, bool | int | float | str | EnumRef)
