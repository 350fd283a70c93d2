"""The closed set of types that a recipe can express, and how an annotation is read as one of them."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from typing import Any

from rk.hookspecs import HOOK_OF_KIND
from rk.static.source import Module, Ref, dotted_name


@dataclass(frozen=True)
class Type:
    """An annotation that recipes cannot express: such a parameter is filled by a fact or by the host."""

    text: str = "anything"

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Primitive(Type):
    """bool, int, float, str, None, path or any."""


BOOL, INT, FLOAT, STR, NONE, PATH, ANY = map(Primitive, ("bool", "int", "float", "str", "null", "path", "any value"))


@dataclass(frozen=True)
class LiteralType(Type):
    """One of some values."""

    values: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return " | ".join("null" if v is None else str(v) for v in self.values)


@dataclass(frozen=True)
class EnumType(Type):
    """A member of an enum, by its value (a string enum's) or its name; `members` maps that to the member's name."""

    target: str = ""
    members: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return " | ".join(key for key, _ in self.members)


@dataclass(frozen=True)
class UnionType(Type):
    """Any one of several types."""

    options: tuple[Type, ...] = ()

    def __str__(self) -> str:
        return " | ".join(map(str, self.options))


@dataclass(frozen=True)
class ListType(Type):
    """A list whose items are of one type."""

    item: Type = ANY

    def __str__(self) -> str:
        return f"list of {self.item}"


@dataclass(frozen=True)
class TupleType(Type):
    """A list of fixed length with a type for each place; with `variadic`, of any length and one type."""

    items: tuple[Type, ...] = ()
    variadic: bool = False

    def __str__(self) -> str:
        return f"list of {self.items[0]}" if self.variadic else f"[{', '.join(map(str, self.items))}]"


@dataclass(frozen=True)
class DictType(Type):
    """A mapping from strings to one type."""

    value: Type = ANY

    def __str__(self) -> str:
        return f"mapping to {self.value}"


@dataclass(frozen=True)
class BoundedType(Type):
    """A type with literal bounds, ``Annotated[int, Ge(1)]``; a bound is (operator, number)."""

    base: Type = ANY
    bounds: tuple[tuple[str, float], ...] = ()

    def __str__(self) -> str:
        return f"{self.base} {' and '.join(f'{op} {number:g}' for op, number in self.bounds)}"


@dataclass(frozen=True)
class ComponentType(Type):
    """A component of a kind, ``{name: ..., ...}``; `protocol` is the Protocol that it is annotated with."""

    kind: str = ""
    protocol: Ref = field(default=Ref(""), compare=False)
    factory: bool = False

    def __str__(self) -> str:
        return f"{'an' if self.kind[0] in 'aeiou' else 'a'} {self.kind}"


@dataclass(frozen=True)
class RunType(Type):
    """A finished run, by its folder."""

    def __str__(self) -> str:
        return "a run folder"


@dataclass(frozen=True)
class TensorType(Type):
    """A jaxtyping annotation: the class of dtypes and the dimensions."""

    dtype: str = "Shaped"
    dims: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.dtype}[{' '.join(self.dims)}]"

    @property
    def variadic(self) -> bool:
        return any(d == "..." or d.lstrip("#").startswith("*") for d in self.dims)


@dataclass(frozen=True)
class DecodeType(Type):
    """A parameter without effect on weights."""

    base: Type = ANY

    def __str__(self) -> str:
        return str(self.base)


_BY_NAME = {
    "builtins.bool": BOOL,
    "builtins.int": INT,
    "builtins.float": FLOAT,
    "builtins.str": STR,
    "builtins.object": ANY,
    "typing.Any": ANY,
    "pathlib.Path": PATH,
    "builtins.list": ListType(),
    "builtins.dict": DictType(),
    "builtins.tuple": TupleType(items=(ANY,), variadic=True),
}
_LISTS = {"builtins.list", "typing.List", "typing.Sequence", "collections.abc.Sequence"}
_DICTS = {"builtins.dict", "typing.Dict", "typing.Mapping", "collections.abc.Mapping"}
_BOUNDS = {"Ge": ">=", "Gt": ">", "Le": "<=", "Lt": "<", "MultipleOf": "multiple of", "MinLen": "length >="}
_KIND_OF_PROTOCOL = {f"rk.protocols.{kind.capitalize()}": kind for kind in HOOK_OF_KIND}


def parse_type(module: Module, node: ast.AST | None) -> Type:
    """Reads the annotation `node`, written in `module`."""
    match node:
        case None:
            return ANY
        case ast.Constant(value=None):
            return NONE
        case ast.Constant(value=str(text)):
            try:
                return parse_type(module, ast.parse(text, mode="eval").body)
            except SyntaxError:
                return Type(text)
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return _union([parse_type(module, left), parse_type(module, right)])
        case ast.Subscript(value=value, slice=inner):
            return _subscript(module, value, inner, ast.unparse(node))
        case ast.Name() | ast.Attribute():
            return _named(module, dotted_name(node) or ast.unparse(node))
    return Type(ast.unparse(node))


def _named(module: Module, dotted: str) -> Type:
    ref = module.resolve(dotted)
    if ref.dotted in _BY_NAME:
        return _BY_NAME[ref.dotted]
    if ref.dotted == "rk.protocols.Run":
        return RunType()
    if isinstance(ref.node, ast.ClassDef):
        from rk.static.classes import ClassInfo

        info = ClassInfo(ref.module, ref.node)
        if kind := kind_of(info):
            return ComponentType(kind=kind, protocol=ref)
        if info.inherits("enum.Enum", "enum.StrEnum", "enum.IntEnum"):
            return _enum(ref)
    if isinstance(ref.node, ast.Assign | ast.AnnAssign) and ref.node.value is not None:
        return parse_type(ref.module, ref.node.value)
    return Type(dotted)


def kind_of(info: Any) -> str | None:
    """Returns the kind whose protocol the class is or inherits from, or None."""
    return next((_KIND_OF_PROTOCOL[name] for name in info.lineage() if name in _KIND_OF_PROTOCOL), None)


def _enum(ref: Ref) -> EnumType:
    members = []
    for statement in ref.node.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name, value = statement.targets[0].id, statement.value
            is_text = isinstance(value, ast.Constant) and isinstance(value.value, str)
            members.append((value.value if is_text else name, name))
    return EnumType(target=f"{ref.module.name}:{ref.node.name}", members=tuple(members))


def _subscript(module: Module, base: ast.AST, inner: ast.AST, text: str) -> Type:
    name = module.resolve(dotted_name(base) or "").dotted
    args = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if name.startswith("jaxtyping."):
        dims = args[1].value if len(args) > 1 and isinstance(args[1], ast.Constant) else "..."
        return TensorType(dtype=name.rpartition(".")[2], dims=tuple(str(dims).split()))
    if name in ("typing.Literal", "typing_extensions.Literal"):
        return LiteralType(values=tuple(literal(module, a) for a in args))
    if name in ("typing.Annotated", "typing_extensions.Annotated"):
        return _annotated(module, args)
    if name == "typing.Optional":
        return _union([parse_type(module, args[0]), NONE])
    if name == "typing.Union":
        return _union([parse_type(module, a) for a in args])
    if name == "rk.protocols.Decode":
        return DecodeType(base=parse_type(module, args[0]))
    if name == "rk.protocols.Factory":
        made = parse_type(module, args[0])
        is_component = isinstance(made, ComponentType)
        return ComponentType(kind=made.kind, protocol=made.protocol, factory=True) if is_component else Type(text)
    if name in _LISTS:
        return ListType(item=parse_type(module, args[0]))
    if name in _DICTS:
        return DictType(value=parse_type(module, args[-1]))
    if name in ("builtins.tuple", "typing.Tuple"):
        variadic = len(args) == 2 and isinstance(args[1], ast.Constant) and args[1].value is Ellipsis
        return TupleType(items=tuple(parse_type(module, a) for a in (args[:1] if variadic else args)), variadic=variadic)
    return Type(text)


def _union(types: list[Type]) -> Type:
    options: list[Type] = []
    for each in types:
        for option in each.options if isinstance(each, UnionType) else (each,):
            if option not in options:
                options.append(option)
    return options[0] if len(options) == 1 else UnionType(options=tuple(options))


def _annotated(module: Module, args: list[ast.expr]) -> Type:
    base = parse_type(module, args[0])
    bounds = []
    for extra in args[1:]:
        if isinstance(extra, ast.Call) and (name := dotted_name(extra.func)):
            operator = _BOUNDS.get(module.resolve(name).dotted.rpartition(".")[2])
            given = [*extra.args, *(k.value for k in extra.keywords)]
            if operator and given:
                number = literal(module, given[0])
                if isinstance(number, int | float):
                    bounds.append((operator, number))
    return BoundedType(base=base, bounds=tuple(bounds)) if bounds else base


@dataclass(frozen=True)
class Unreadable:
    """A default that is no literal; `text` is its source."""

    text: str

    def __str__(self) -> str:
        return self.text


def literal(module: Module, node: ast.AST) -> Any:
    """Evaluates a literal, or a name that leads to one; `Unreadable` for anything else."""
    try:
        return ast.literal_eval(node)
    except (ValueError, SyntaxError, TypeError):
        pass
    dotted = dotted_name(node)
    if dotted:
        ref = module.resolve(dotted)
        if isinstance(ref.node, ast.Assign | ast.AnnAssign) and ref.node.value is not node:
            return literal(ref.module, ref.node.value)
        owner, _, member = dotted.rpartition(".")
        if owner and re.fullmatch(r"\w+", member):
            holder = module.resolve(owner)
            if isinstance(holder.node, ast.ClassDef):
                for key, name in _enum(holder).members:
                    if name == member:
                        return key
    return Unreadable(ast.unparse(node))
