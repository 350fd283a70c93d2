"""Constructors and methods as parameters with types, defaults and help."""

from __future__ import annotations

import ast
from typing import Any

from rk.record import record
from rk.static.classes import ClassInfo, Field, typed_dict
from rk.static.source import Module, StaticError, dotted_name, unquoted
from rk.static.types import NONE, ComponentType, Type, UnionType, literal, parse_type, undecoded


class _Required:
    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Any = _Required()
"""The default of a parameter that has none."""


@record
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


@record
class Signature:
    """The parameters of a constructor or method and the TypedDict that it returns."""

    params: tuple[Param, ...]
    module: Module
    node: ast.FunctionDef | ast.ClassDef

    def __getitem__(self, name: str) -> Param:
        found = next((p for p in self.params if p.name == name), None)
        if found is None:
            raise KeyError(name)
        return found

    def __contains__(self, name: str) -> bool:
        return any(p.name == name for p in self.params)

    @property
    def names(self) -> list[str]:
        return [p.name for p in self.params]

    @property
    def hides(self) -> bool:
        """Whether it takes more than it names: ``*args`` or ``**kwargs``."""
        arguments = getattr(self.node, "args", None)
        return arguments is not None and (arguments.vararg or arguments.kwarg) is not None

    def returns(self) -> dict[str, Field] | None:
        """Returns the fields of the TypedDict in the return annotation, or None."""
        return typed_dict(self.module, getattr(self.node, "returns", None))

    def may_return_none(self) -> bool:
        annotation = getattr(self.node, "returns", None)
        parsed = NONE if annotation is None else parse_type(self.module, annotation)
        return parsed is NONE or (isinstance(parsed, UnionType) and NONE in parsed.options)


def constructor(info: ClassInfo) -> Signature:
    """Reads the parameters of a component's constructor.

    Raises:
        StaticError: For ``*args`` or ``**kwargs``, a positional-only parameter, one called ``name``, or a constructor
            that is inherited from code that is not read (torch's).
    """
    for each in info.implementations():
        found = next((s for s in each.node.body if isinstance(s, ast.FunctionDef) and s.name == "__init__"), None)
        if found is None and not each.is_dataclass():
            continue
        signature = _dataclass(each) if found is None else _function(each.module, found, drop_first=True)
        _refuse_hidden(info, signature)
        return signature
    if opaque := info.opaque_bases():
        raise StaticError(f"{info.dotted} inherits its constructor from {opaque[0]}; write one with annotations")
    return Signature((), info.module, info.node)


def _refuse_hidden(info: ClassInfo, signature: Signature) -> None:
    """Refuses what a recipe could not give by name."""
    if signature.hides:
        raise StaticError(f"{info.dotted}.__init__ takes *args or **kwargs, which hide its parameters")
    if isinstance(signature.node, ast.FunctionDef) and len(signature.node.args.posonlyargs) > 1:
        raise StaticError(f"{info.dotted}.__init__ has positional-only parameters, which a recipe cannot give")
    if "name" in signature:
        raise StaticError(f"{info.dotted}.__init__ has a parameter 'name', which recipes use for the component")


def _dataclass(info: ClassInfo) -> Signature:
    fields: dict[str, Param] = {}
    for each in reversed(info.mro()):
        for statement in each.node.body if each.is_dataclass() else ():
            match statement:
                case ast.AnnAssign(target=ast.Name(id=name)):
                    if (param := _dataclass_field(each.module, name, statement)) is not None:
                        fields[name] = param
    return Signature(tuple(fields.values()), info.module, info.node)


def _dataclass_field(module: Module, name: str, statement: ast.AnnAssign) -> Param | None:
    """Reads one field; None for what is no parameter: class variables, ``KW_ONLY``, ``field(init=False)``."""
    annotation, default = unquoted(statement.annotation), statement.value
    outer = dotted_name(annotation.value if isinstance(annotation, ast.Subscript) else annotation)
    if outer and module.resolve(outer).dotted in ("typing.ClassVar", "dataclasses.KW_ONLY"):
        return None
    if isinstance(default, ast.Call) and module.resolve(dotted_name(default.func) or "").dotted == "dataclasses.field":
        settings = {k.arg: k.value for k in default.keywords}
        if "init" in settings and literal(module, settings["init"]) is False:
            return None
        default = settings.get("default") or _made_by(settings.get("default_factory"))
    return _param(module, name, annotation, default)


def _made_by(factory: ast.expr | None) -> ast.expr | None:
    """Returns what a ``default_factory`` makes, where its name tells."""
    empty = {"list": "[]", "dict": "{}", "tuple": "()"}.get(ast.unparse(factory)) if factory is not None else None
    return ast.parse(empty, mode="eval").body if empty else factory


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
    type_, decode = undecoded(parse_type(module, annotation))
    value = REQUIRED if default is None else literal(module, default)
    return Param(name, type_, value, decode)
