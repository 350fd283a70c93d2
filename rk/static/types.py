"""The closed set of types that a recipe can express; `rk.static.annotations` reads them."""

from __future__ import annotations

from rk.record import record
from rk.static.source import Ref
from rk.values import Plain


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

    values: tuple[Plain, ...] = ()

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


def bound_text(bound: float) -> str:
    """Returns a bound as a message shows it: whole numbers with all their digits."""
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def word(value: Plain) -> str:
    """Returns a literal as a recipe writes it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def union(types: list[Type]) -> Type:
    options: list[Type] = []
    for each in types:
        for option in each.options if isinstance(each, UnionType) else (each,):
            if option not in options:
                options.append(option)
    return options[0] if len(options) == 1 else UnionType(options=tuple(options))


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
                return union([option for option, _ in bare]), mark
    return type_, ""


@record
class Unreadable:
    """A default that is not a literal; `text` is its source."""

    text: str

    def __str__(self) -> str:
        return self.text


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
