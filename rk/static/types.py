"""The closed set of types that a recipe can express, and how an annotation is read as one of them."""

from __future__ import annotations

import ast
from typing import Any

from rk.kinds import KINDS
from rk.record import record
from rk.static.source import MAX_STEPS, Module, Ref, assigned_value, dotted_name, unquoted


@record
class Type:
    """An annotation that recipes cannot express: such a parameter is filled by a fact or by the host."""

    text: str = "anything"

    def __str__(self) -> str:
        return self.text


@record
class ClassType(Type):
    """Some class, which recipes cannot express either; as a Protocol, a trainer's ``setup`` may ask for it."""

    protocol: Ref = Ref("")
    _not_compared = ("protocol",)


@record
class Primitive(Type):
    """bool, int, float, str, None, path or any."""


BOOL, INT, FLOAT, STR, NONE, PATH, ANY = map(Primitive, ("bool", "int", "float", "str", "null", "path", "any value"))


@record
class LiteralType(Type):
    """One of some values."""

    values: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return " | ".join(map(word, self.values))


@record
class EnumType(Type):
    """A member of an enum, by its value (a string enum's) or its name; `members` maps that to the member's name."""

    target: str = ""
    members: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return " | ".join(key for key, _ in self.members)


@record
class UnionType(Type):
    """Any one of several types."""

    options: tuple[Type, ...] = ()

    def __str__(self) -> str:
        return " | ".join(map(str, self.options))


@record
class ListType(Type):
    """A list whose items are of one type."""

    item: Type = ANY

    def __str__(self) -> str:
        return f"list of {self.item}"


@record
class TupleType(Type):
    """A list of fixed length with a type for each place; with `variadic`, of any length and one type."""

    items: tuple[Type, ...] = ()
    variadic: bool = False

    def __str__(self) -> str:
        return f"list of {self.items[0]}" if self.variadic else f"[{', '.join(map(str, self.items))}]"


@record
class DictType(Type):
    """A mapping to one type; `key` is STR, or INT, FLOAT or BOOL, whose values recipes write as keys."""

    value: Type = ANY
    key: Type = STR

    def __str__(self) -> str:
        return f"mapping to {self.value}"


@record
class BoundedType(Type):
    """A type with literal bounds, ``Annotated[int, Ge(1)]``; a bound is (operator, number)."""

    base: Type = ANY
    bounds: tuple[tuple[str, float], ...] = ()

    def __str__(self) -> str:
        return f"{self.base} {' and '.join(f'{op} {bound_text(number)}' for op, number in self.bounds)}"


@record
class ComponentType(Type):
    """A component of a kind, ``{name: ..., ...}``; `protocol` is the Protocol that it is annotated with."""

    kind: str = ""
    protocol: Ref = Ref("")
    _not_compared = ("protocol",)
    factory: bool = False

    def __str__(self) -> str:
        return f"{'an' if self.kind[0] in 'aeiou' else 'a'} {self.kind}"


@record
class StructType(Type):
    """A dataclass of the plugin, whose fields a recipe gives as a mapping; `target` is ``package.module:Class``."""

    target: str = ""
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{{{', '.join(self.fields)}}}"


@record
class RunType(Type):
    """A finished run, by its folder."""

    def __str__(self) -> str:
        return "a run folder"


@record
class TensorType(Type):
    """A jaxtyping annotation: the class of dtypes and the dimensions."""

    dtype: str = "Shaped"
    dims: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.dtype}[{' '.join(self.dims)}]"

    @property
    def fixed(self) -> list[str]:
        """The dimensions that stand for one each."""
        return [d for d in self.dims if d != "..." and not d.lstrip("#").startswith("*")]

    @property
    def variadic(self) -> bool:
        return len(self.fixed) != len(self.dims)


@record
class MarkedType(Type):
    """A type with a mark: ``decode``, a parameter without effect on weights; ``training``, one only for training."""

    base: Type = ANY
    mark: str = ""

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
_KIND_OF_PROTOCOL = {f"rk.protocols.{kind.protocol}": kind.name for kind in KINDS.values()}


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
            return _union([parse_type(module, left, seen), parse_type(module, right, seen)])
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
    if isinstance(ref.node, ast.ClassDef):
        from rk.static.classes import ClassInfo

        info = ClassInfo(ref.module, ref.node)
        if kind := kind_of(info):
            return ComponentType(kind=kind, protocol=ref)
        return _enum(info) or _struct(info) or ClassType(text=dotted, protocol=ref)
    alias = assigned_value(ref.node)
    if alias is not None and ref.dotted not in seen:
        return parse_type(ref.module, alias, seen | {ref.dotted})
    return Type(dotted)


def kind_of(info: Any) -> str | None:
    """Returns the kind whose protocol the class is or inherits from, or None."""
    return next((_KIND_OF_PROTOCOL[name] for name in info.lineage() if name in _KIND_OF_PROTOCOL), None)


def _enum(info: Any) -> EnumType | None:
    """Reads the class `info` as an enum; None when it is none."""
    if not info.inherits("enum.Enum", "enum.StrEnum", "enum.IntEnum"):
        return None
    members = []
    for statement in info.node.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if not name.startswith("_"):
                members.append((_enum_key(info, name, value), name))
    return EnumType(target=f"{info.module.name}:{info.node.name}", members=tuple(members))


def _enum_key(info: Any, name: str, value: ast.expr) -> str:
    """Returns what a recipe calls the member: its value where that is a string, else its name."""
    match value:
        case ast.Constant(value=str(text)):
            return text
        case ast.Call(func=func) if info.inherits("enum.StrEnum"):
            if info.module.resolve(dotted_name(func) or "").dotted == "enum.auto":
                return name.lower()
    return name


def _struct(info: Any) -> StructType | None:
    """Reads the class `info` as a dataclass; None when it is none. Types of fields are read when one is given."""
    if not info.is_dataclass():
        return None
    fields = [
        name
        for each in reversed(info.mro())
        for statement in each.node.body
        for name in [getattr(getattr(statement, "target", None), "id", None)]
        if isinstance(statement, ast.AnnAssign) and name is not None
    ]
    return StructType(target=f"{info.module.name}:{info.node.name}", fields=tuple(dict.fromkeys(fields)))


def _subscript(module: Module, base: ast.AST, inner: ast.AST, text: str, seen: frozenset[str]) -> Type:
    name = module.resolve(dotted_name(base) or "").dotted
    args = inner.elts if isinstance(inner, ast.Tuple) else [inner]

    def parse(node: ast.AST) -> Type:
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
        return _union([parse(args[0]), NONE])
    if name == "typing.Union":
        return _union([parse(a) for a in args])
    if name in _MARKS:
        return MarkedType(base=parse(args[0]), mark=_MARKS[name])
    if name == "rk.protocols.Factory":
        made = parse(args[0])
        is_component = isinstance(made, ComponentType)
        return ComponentType(kind=made.kind, protocol=made.protocol, factory=True) if is_component else Type(text)
    if name in _LISTS:
        return ListType(item=parse(args[0]))
    if name in _DICTS:
        return DictType(value=parse(args[-1]), key=parse(args[0]) if len(args) > 1 else STR)
    if name in ("builtins.tuple", "typing.Tuple"):
        variadic = len(args) == 2 and isinstance(args[1], ast.Constant) and args[1].value is Ellipsis
        return TupleType(items=tuple(parse(a) for a in (args[:1] if variadic else args)), variadic=variadic)
    return Type(text)


def _union(types: list[Type]) -> Type:
    options: list[Type] = []
    for each in types:
        for option in each.options if isinstance(each, UnionType) else (each,):
            if option not in options:
                options.append(option)
    return options[0] if len(options) == 1 else UnionType(options=tuple(options))


def _annotated(module: Module, base: Type, extras: list[ast.expr]) -> Type:
    bounds = []
    for extra in extras:
        if isinstance(extra, ast.Call) and (name := dotted_name(extra.func)):
            marker = module.resolve(name).dotted.rpartition(".")[2]
            given = [(k.arg if marker == "Interval" else marker, k.value) for k in extra.keywords]
            for bound, value in [*((marker, a) for a in extra.args), *given]:
                number = literal(module, value)
                if bound in _BOUNDS and isinstance(number, int | float):
                    bounds.append((_BOUNDS[bound], number))
    return BoundedType(base=base, bounds=tuple(bounds)) if bounds else base


def bound_text(bound: float) -> str:
    """Returns a bound as a message shows it: whole numbers with all their digits."""
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def word(value: Any) -> str:
    """Returns a literal as a recipe writes it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def unmarked(type_: Type) -> tuple[Type, str]:
    """Returns the type without its mark, and the mark or "" (``Decode[int] | None`` has one)."""
    match type_:
        case MarkedType(base=base, mark=mark):
            return base, mark
        case BoundedType(base=MarkedType(base=base, mark=mark)):
            return BoundedType(base=base, bounds=type_.bounds), mark
        case UnionType(options=options):
            bare = [unmarked(option) for option in options]
            if mark := next((mark for _, mark in bare if mark), ""):
                return _union([option for option, _ in bare]), mark
    return type_, ""


@record
class Unreadable:
    """A default that is not a literal; `text` is its source."""

    text: str

    def __str__(self) -> str:
        return self.text


def literal(module: Module, node: ast.AST, _depth: int = 0) -> Any:
    """Evaluates a literal, or a name that leads to one; `Unreadable` for anything else."""
    try:
        return ast.literal_eval(node)
    except (ValueError, SyntaxError, TypeError):
        pass
    found = _named_value(module, dotted_name(node)) if _depth < MAX_STEPS else None
    if found is None:
        return Unreadable(ast.unparse(node))
    return found if isinstance(found, str) else literal(*found, _depth + 1)


def _named_value(module: Module, dotted: str | None) -> tuple[Module, ast.expr] | str | None:
    """Returns the expression that a constant stands for, or what a recipe calls the enum member that it is."""
    from rk.static.classes import ClassInfo

    if dotted is None:
        return None
    owner, _, member = dotted.rpartition(".")
    holder = module.definition(owner) if owner else None
    if holder is not None and isinstance(holder.node, ast.ClassDef):
        info = ClassInfo(holder.module, holder.node)
        if enum := _enum(info):
            return next((key for key, name in enum.members if name == member), None)
        assigned = info.assigned(member)
        return (assigned[0].module, assigned[1]) if assigned else None
    ref = module.resolve(dotted)
    value = assigned_value(ref.node)
    return (ref.module, value) if value is not None else None


def takes_path(type_: Type) -> bool:
    """Whether a value of this type can be a path, or hold one."""
    match type_:
        case UnionType(options=parts) | TupleType(items=parts):
            return any(map(takes_path, parts))
        case ListType(item=part) | DictType(value=part) | BoundedType(base=part):
            return takes_path(part)
    return type_ == PATH


def component_in(type_: Type) -> ComponentType | None:
    """Returns the component that a value of this type is or holds: ``Loss | None``, ``list[Optimizer]``."""
    match type_:
        case ComponentType():
            return type_
        case UnionType(options=parts) | TupleType(items=parts):
            return next((found for part in parts if (found := component_in(part)) is not None), None)
        case ListType(item=part) | DictType(value=part) | BoundedType(base=part):
            return component_in(part)
    return None
