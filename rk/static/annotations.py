"""How an annotation is read as one of the types that a recipe can express."""

from __future__ import annotations

import ast

from rk.static.classes import class_of
from rk.static.literals import literal
from rk.static.source import Definition, Module, assigned_value, dotted_name, unquoted
from rk.static.structs import enum, kind_of, struct
from rk.static.types import (
    ANY,
    BOOL,
    FLOAT,
    INT,
    NONE,
    PATH,
    STR,
    BoundedType,
    ClassType,
    ComponentType,
    DictType,
    ListType,
    LiteralType,
    MarkedType,
    RunType,
    TensorType,
    TupleType,
    Type,
    union,
)

_BY_NAME = {
    "builtins.bool": BOOL,
    "builtins.int": INT,
    "builtins.float": FLOAT,
    "builtins.str": STR,
    "builtins.object": ANY,
    "typing.Any": ANY,
    "pathlib.Path": PATH,
    "builtins.tuple": TupleType(items=(ANY,), variadic=True),
    "typing.Tuple": TupleType(items=(ANY,), variadic=True),
}
_LISTS = {"builtins.list", "typing.List", "typing.Sequence", "collections.abc.Sequence"}
_DICTS = {"builtins.dict", "typing.Dict", "typing.Mapping", "collections.abc.Mapping"}
_BY_NAME |= {name: ListType() for name in _LISTS} | {name: DictType() for name in _DICTS}
_MARKS = {"rk.protocols.Decode": "decode", "rk.protocols.Training": "training"}
_TRANSPARENT = {"typing.ClassVar", "typing.Final", "dataclasses.InitVar"}
_BOUNDS = {
    "Ge": ">=", "Gt": ">", "Le": "<=", "Lt": "<", "ge": ">=", "gt": ">", "le": "<=", "lt": "<",
    "MultipleOf": "multiple of", "MinLen": "length >=", "MaxLen": "length <=",
}  # fmt: skip
"""Bounds of annotated_types -> operator; in lower case, the keywords of its ``Interval``."""


def parse_type(module: Module, node: ast.AST | None, seen: frozenset[str] = frozenset()) -> Type:
    """Reads the annotation `node`, written in `module`.

    Args:
        module: Where the names in it are looked up.
        node: The annotation.
        seen: Aliases that are being read: one that names itself is not a type that a recipe can express.
    """
    node = unquoted(node)
    match node:
        case None:
            return ANY
        case ast.Constant(value=None):
            return NONE
        case ast.Constant(value=str(text)):
            return Type(text)
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return union([parse_type(module, left, seen), parse_type(module, right, seen)])
        case ast.Subscript(value=value, slice=inner):
            return _subscript(module, value, inner, ast.unparse(node), seen)
        case ast.Name() | ast.Attribute():
            return _named(module, dotted_name(node) or ast.unparse(node), seen)
    return Type(ast.unparse(node))


def _named(module: Module, dotted: str, seen: frozenset[str]) -> Type:
    ref = module.resolve(dotted)
    if ref.dotted in _BY_NAME:
        return _BY_NAME[ref.dotted]
    if ref.dotted == "rk.protocols.Run":
        return RunType()
    if (info := class_of(ref)) is not None:
        if kind := kind_of(info):
            return ComponentType(kind=kind, protocol=ref)
        return enum(info) or struct(info) or ClassType(text=dotted, protocol=ref)
    if not isinstance(ref, Definition):
        return Type(dotted)
    alias = assigned_value(ref.node)
    if alias is not None and ref.dotted not in seen:
        return parse_type(ref.module, alias, seen | {ref.dotted})
    return Type(dotted)


def _subscript(module: Module, base: ast.expr, inner: ast.expr, text: str, seen: frozenset[str]) -> Type:
    name = module.resolve(dotted_name(base) or "").dotted
    args = inner.elts if isinstance(inner, ast.Tuple) else [inner]

    def parse(node: ast.expr) -> Type:
        return parse_type(module, node, seen)

    if name.startswith("jaxtyping."):
        dims = args[1].value if len(args) > 1 and isinstance(args[1], ast.Constant) else "..."
        return TensorType(dtype=name.rpartition(".")[2], dims=tuple(str(dims).split()))
    if name in ("typing.Literal", "typing_extensions.Literal"):
        return LiteralType(values=tuple(literal(module, a) for a in args))
    if name in ("typing.Annotated", "typing_extensions.Annotated"):
        return _annotated(module, parse(args[0]), args[1:])
    if name in _TRANSPARENT:
        return parse(args[0])
    if name == "typing.Optional":
        return union([parse(args[0]), NONE])
    if name == "typing.Union":
        return union([parse(a) for a in args])
    if name in _MARKS:
        return MarkedType(base=parse(args[0]), mark=_MARKS[name])
    if name == "rk.protocols.Factory":
        made = parse(args[0])
        if not isinstance(made, ComponentType):
            return Type(text)
        return ComponentType(kind=made.kind, protocol=made.protocol, factory=True)
    if name in _LISTS:
        return ListType(item=parse(args[0]))
    if name in _DICTS:
        return DictType(value=parse(args[-1]), key=parse(args[0]) if len(args) > 1 else STR)
    if name in ("builtins.tuple", "typing.Tuple"):
        variadic = len(args) == 2 and isinstance(args[1], ast.Constant) and args[1].value is Ellipsis
        return TupleType(items=tuple(parse(a) for a in (args[:1] if variadic else args)), variadic=variadic)
    return Type(text)


def _annotated(module: Module, base: Type, extras: list[ast.expr]) -> Type:
    bounds: list[tuple[str, float]] = []
    for extra in extras:
        if isinstance(extra, ast.Call) and (name := dotted_name(extra.func)):
            marker = module.resolve(name).dotted.rpartition(".")[2]
            given = [(k.arg if marker == "Interval" else marker, k.value) for k in extra.keywords]
            for bound, value in [*((marker, a) for a in extra.args), *given]:
                number = literal(module, value)
                if bound in _BOUNDS and isinstance(number, int | float):
                    bounds.append((_BOUNDS[bound], number))
    return BoundedType(base=base, bounds=tuple(bounds)) if bounds else base
