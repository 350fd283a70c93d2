"""A review of one component, from its source: what cannot work, and what its users would miss."""

from __future__ import annotations

from collections.abc import Iterator

from rk.catalog import Catalog
from rk.errors import UserError
from rk.kinds import KINDS
from rk.plugins import Component
from rk.static import ClassInfo, Signature, StaticError, method
from rk.static.docstring import arguments, describe
from rk.static.types import ClassType, Type, UnionType


def faults(component: Component, catalog: Catalog) -> list[str]:
    """Returns what keeps `component` from working at all, as far as its source shows."""
    try:
        info = catalog.info(component)
        signature = catalog.signature(component)
        undeclared = [] if _wraps(component, signature) else _undeclared(component, info)
        return [*_lacking(component, info), *undeclared, *_inexpressible(component, signature)]
    except UserError as error:  # it already begins with the distribution, kind and name, which the caller prints too
        return [error.message.partition(f"{component.kind} {component.name}: ")[2] or error.message]
    except StaticError as error:  # of a module that a method leads to
        return [error.message]


def gaps(component: Component, catalog: Catalog) -> list[str]:
    """Returns what a user would miss of a component that works: types and words."""
    try:
        info, signature = catalog.info(component), catalog.signature(component)
    except UserError:
        return []  # a fault
    text, help_of = describe(info)
    found = [] if text.strip() else [f"{info.node.name} has no docstring for `rk list` and `rk show`"]
    for param in signature.params:
        if not param.annotated:
            found.append(f"the parameter {param.name!r} has no type: a recipe's value for it cannot be checked")
        if not help_of.get(param.name):
            found.append(f"the parameter {param.name!r} is not in the docstring's Args:")
    found += [f"Args: documents {name!r}, not a parameter" for name in arguments(info) if name not in signature]
    return found


def _wraps(component: Component, signature: Signature) -> bool:
    """Whether it takes a component of its own kind: what its methods give may be what that one gives."""
    return any((taken := param.component()) is not None and taken.kind == component.kind for param in signature.params)


def _lacking(component: Component, info: ClassInfo) -> Iterator[str]:
    for names in KINDS[component.kind].methods:
        if not any(info.find(name) for name in names) and not info.opaque_bases():
            yield f"has no method {' or '.join(f'{name}()' for name in names)}"
    if component.kind == "data" and "splits" not in info.members() and not info.inherits("rk.wrappers.DataWrapper"):
        yield "has no splits"


def _undeclared(component: Component, info: ClassInfo) -> Iterator[str]:
    for name in KINDS[component.kind].declaring:
        found = method(info, name)
        if found is not None and found.returns() is None:
            yield f"{name}() has no TypedDict as return annotation"


def _inexpressible(component: Component, signature: Signature) -> Iterator[str]:
    """A required parameter that no recipe can give; those of a layer may come from the model that it is a layer of."""
    if component.kind == "layer":
        return
    for param in signature.params:
        if param.required and not _expressible(param.type):
            yield f"the parameter {param.name!r} takes {param.type}, which no recipe can give, and has no default"


def _expressible(type_: Type) -> bool:
    if isinstance(type_, UnionType):
        return any(map(_expressible, type_.options))
    return type(type_) is not Type and not isinstance(type_, ClassType)
