"""Constructors and methods as parameters with types, defaults and help."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from rk.static.classes import ClassInfo, Field, typed_dict
from rk.static.source import Module, StaticError
from rk.static.types import ComponentType, DecodeType, NONE, Type, UnionType, literal, parse_type


class _Required:
    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Any = _Required()
"""The default of a parameter that has none."""


@dataclass(frozen=True)
class Param:
    """One parameter. `default` is a Python value, `REQUIRED`, or an `Unreadable` expression."""

    name: str
    type: Type
    default: Any = REQUIRED
    decode: bool = False

    @property
    def required(self) -> bool:
        return self.default is REQUIRED

    @property
    def optional(self) -> bool:
        """Whether None is among its values."""
        return self.type is NONE or (isinstance(self.type, UnionType) and NONE in self.type.options)

    def component(self) -> ComponentType | None:
        """Returns the component type in its annotation, ``Loss | None`` included."""
        options = self.type.options if isinstance(self.type, UnionType) else (self.type,)
        return next((o for o in options if isinstance(o, ComponentType)), None)


@dataclass(frozen=True)
class Signature:
    """The parameters of a constructor or method and the TypedDict that it returns."""

    params: tuple[Param, ...]
    module: Module
    node: ast.FunctionDef | ast.ClassDef

    def __getitem__(self, name: str) -> Param:
        return next(p for p in self.params if p.name == name)

    def __contains__(self, name: str) -> bool:
        return any(p.name == name for p in self.params)

    @property
    def names(self) -> list[str]:
        return [p.name for p in self.params]

    def returns(self) -> dict[str, Field] | None:
        """Returns the fields of the TypedDict in the return annotation, or None."""
        return typed_dict(self.module, getattr(self.node, "returns", None))

    def may_return_none(self) -> bool:
        annotation = getattr(self.node, "returns", None)
        parsed = parse_type(self.module, annotation) if annotation is not None else NONE
        return parsed is NONE or (isinstance(parsed, UnionType) and NONE in parsed.options)


def constructor(info: ClassInfo) -> Signature:
    """Reads the parameters of a component's constructor.

    Raises:
        StaticError: For ``*args`` or ``**kwargs``, a parameter called ``name``, or a constructor that is inherited from
            code that is not read (torch's).
    """
    for each in info.implementations():
        if each.is_dataclass():
            return _dataclass(each)
        found = next((s for s in each.node.body if isinstance(s, ast.FunctionDef) and s.name == "__init__"), None)
        if found is not None:
            signature = _function(each.module, found, drop_first=True)
            _refuse_hidden(info, found)
            return signature
    if opaque := info.opaque_bases():
        raise StaticError(f"{info.dotted} inherits its constructor from {opaque[0]}; write one with annotated parameters")
    return Signature((), info.module, info.node)


def _refuse_hidden(info: ClassInfo, node: ast.FunctionDef) -> None:
    if node.args.vararg or node.args.kwarg:
        raise StaticError(f"{info.dotted}.__init__ takes *args or **kwargs, which hide its parameters")
    if any(a.arg == "name" for a in (*node.args.args, *node.args.kwonlyargs)):
        raise StaticError(f"{info.dotted}.__init__ has a parameter 'name', which recipes use for the component")


def _dataclass(info: ClassInfo) -> Signature:
    fields: dict[str, Param] = {}
    for each in reversed(list(info.mro())):
        if not each.is_dataclass():
            continue
        for statement in each.node.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                name = statement.target.id
                if "ClassVar" in ast.unparse(statement.annotation):
                    continue
                fields[name] = _param(each.module, name, statement.annotation, _field_default(statement.value))
    return Signature(tuple(fields.values()), info.module, info.node)


def _field_default(value: ast.expr | None) -> ast.expr | None:
    """Sees through ``field(default=...)`` and ``field(default_factory=list)``."""
    if isinstance(value, ast.Call) and ast.unparse(value.func).endswith("field"):
        for keyword in value.keywords:
            if keyword.arg == "default":
                return keyword.value
            if keyword.arg == "default_factory":
                empty = {"list": "[]", "dict": "{}", "tuple": "()"}.get(ast.unparse(keyword.value))
                return ast.parse(empty, mode="eval").body if empty else keyword.value
        return None
    return value


def method(info: ClassInfo, name: str) -> Signature | None:
    """Reads a method, or returns None when neither the class nor a base that can be read defines it."""
    found = info.find(name)
    return _function(found[0].module, found[1], drop_first=True) if found else None


def read_function(module: Module, node: ast.FunctionDef) -> Signature:
    """Reads the parameters of a module-level function."""
    return _function(module, node, drop_first=False)


def _function(module: Module, node: ast.FunctionDef, *, drop_first: bool) -> Signature:
    positional = [*node.args.posonlyargs, *node.args.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(node.args.defaults)) + list(node.args.defaults)
    pairs = [*zip(positional, defaults, strict=True)][1 if drop_first and not _is_static(node) else 0 :]
    pairs += zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    return Signature(tuple(_param(module, a.arg, a.annotation, d) for a, d in pairs), module, node)


def _is_static(node: ast.FunctionDef) -> bool:
    return any(ast.unparse(d) == "staticmethod" for d in node.decorator_list)


def _param(module: Module, name: str, annotation: ast.AST | None, default: ast.expr | None) -> Param:
    parsed = parse_type(module, annotation)
    decode = isinstance(parsed, DecodeType)
    value = REQUIRED if default is None else literal(module, default)
    return Param(name, parsed.base if decode else parsed, value, decode)
