"""Values of a recipe against the types that its components declare; every mistake is reported at its place."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rk.catalog import Catalog
from rk.errors import Mark, Problem, RecipeError
from rk.recipe.find import RecipeFile
from rk.recipe.hints import sequence_hint
from rk.recipe.model import EnumRef
from rk.recipe.tree import BROKEN, Mapping, Node, Scalar, Sequence, describe, parse_value, plain_value
from rk.recipe.wording import how_to_write, near, one_of, shown, with_article
from rk.static.types import (
    ANY,
    BOOL,
    FLOAT,
    INT,
    NONE,
    PATH,
    STR,
    BoundedType,
    ComponentType,
    DictType,
    EnumType,
    ListType,
    LiteralType,
    MarkedType,
    RunType,
    StructType,
    TupleType,
    Type,
    UnionType,
    bound_text,
    word,
)  # fmt: skip
from rk.values import Value


class _Invalid:
    """Replaces a value that has been reported."""


INVALID: Value = _Invalid()

MAX_PROBLEMS = 100
INT_BOUNDS = ((">=", -(2**63)), ("<=", 2**63 - 1))
"""The default bounds of a whole number: torch has 64-bit integers."""


class Values(ABC):
    """Turns nodes into values; keeps `problems`.

    Args:
        catalog: The installed components.
        file: The recipe, where there is one: its plugin's components come first, and runs beside it are found.
        run_finder: Turns the text of a `Run` parameter into a folder.
        stored: Whether it is the recipe of a run: runs that it began from may be gone.
    """

    def __init__(
        self,
        catalog: Catalog,
        file: RecipeFile | None = None,
        run_finder: Callable[[str], Path] | None = None,
        *,
        stored: bool = False,
    ) -> None:
        self.catalog = catalog
        self.file = file
        self.plugin = None if file is None else file.plugin
        self.run_finder = run_finder
        self.stored = stored
        self.problems: list[Problem] = []

    def report(self, mark: Mark, key: str, message: str, hint: str | None = None) -> Value:
        if len(self.problems) >= MAX_PROBLEMS:
            raise RecipeError([*self.problems, Problem(mark, key, f"and more: only {MAX_PROBLEMS} problems are shown")])
        self.problems.append(Problem(mark, key, message, hint))
        return INVALID

    @abstractmethod
    def component(self, node: Node, type_: ComponentType, key: str) -> Value:
        """Checks a component; returns its `Spec`, or INVALID after a report."""

    @abstractmethod
    def struct(self, node: Node, type_: StructType, key: str) -> Value:
        """Checks the fields of a dataclass; returns a `Struct`, or INVALID after a report."""

    @abstractmethod
    def run(self, node: Node, key: str) -> Value:
        """Checks a value that names a run; returns a `RunRef`, or INVALID after a report."""

    def value(self, node: Node, type_: Type, key: str) -> Value:
        """Checks one value against one type; returns it, or INVALID after a report."""
        if is_broken(node):
            return INVALID
        match type_:
            case MarkedType(base=base):
                return self.value(node, base, key)
            case BoundedType():
                return self._bounded(node, type_, key)
            case UnionType():
                return self._union(node, type_, key)
            case ComponentType():
                return self.component(node, type_, key)
            case LiteralType():
                return self._literal(node, type_, key)
            case EnumType():
                return self._enum(node, type_, key)
            case ListType() | TupleType():
                return self._sequence(node, type_, key)
            case DictType():
                return self._mapping(node, type_, key)
            case StructType():
                return self.struct(node, type_, key)
            case RunType():
                return self.run(node, key)
        if type_ is INT:
            return self._bounded(node, BoundedType(base=INT), key)
        return self._primitive(node, type_, key)

    def _primitive(self, node: Node, type_: Type, key: str) -> Value:
        if type_ is ANY:
            return plain_value(node)
        if type_ not in (BOOL, INT, FLOAT, STR, NONE, PATH):
            message = f"takes {type_}, which a recipe cannot express"
            return self.report(node.mark, key, message, "leave it out: a fact fills it")
        if not isinstance(node, Scalar):
            return self.report(node.mark, key, f"expected {with_article(type_)}, got {describe(node)}")
        value = node.value
        if type_ is PATH and isinstance(value, str):
            return self._path(node, key)
        if type_ is FLOAT and type(value) is int:
            return self._as_float(node, value, key)
        python = {BOOL: bool, INT: int, FLOAT: float, STR: str, NONE: type(None)}.get(type_)
        if type(value) is python:
            return value
        hint = how_to_write(node, type_)
        return self.report(node.mark, key, f"expected {with_article(type_)}, got {describe(node)}", hint)

    def _as_float(self, node: Scalar, value: int, key: str) -> Value:
        try:
            return float(value)
        except OverflowError:
            return self.report(node.mark, key, f"{shown(node)} is too large for a float")

    def _path(self, node: Scalar, key: str) -> Value:
        """A path in a file is relative to that file, one on the command line to the working folder."""
        folder = Path(node.mark.source).parent if node.mark.line else Path()
        try:
            return (folder / Path(node.value).expanduser()).resolve()
        except (OSError, RuntimeError, ValueError) as error:  # no such user in ~user, a loop of links, a null character
            return self.report(node.mark, key, f"{node.value!r} is not a path: {error}")

    def _bounded(self, node: Node, type_: BoundedType, key: str) -> Value:
        bounds = type_.bounds
        if type_.base is INT:
            value = self._primitive(node, INT, key)
            bounds += tuple(b for b in INT_BOUNDS if not any(name[0] == b[0][0] for name, _ in bounds))
        else:
            value = self.value(node, type_.base, key)
        for name, bound in bounds:
            try:
                kept = _BOUNDS[name](value, bound)
            except TypeError:  # Annotated[int | str, Ge(1)] and a string, null, or a mistake: the bound is not for it
                continue
            if not kept:
                what = "must have a" if name.startswith("length") else "must be"
                return self.report(node.mark, key, f"{what} {name} {bound_text(bound)}, got {shown(node)}")
        return value

    def _union(self, node: Node, type_: UnionType, key: str) -> Value:
        if is_null(node) and NONE in type_.options:
            return None
        outer = self.problems
        attempts: list[tuple[Type, Value, list[Problem]]] = []
        try:
            for option in sorted(type_.options, key=lambda o: _bare(o) is FLOAT):  # 3 is an int in float | int too
                if option is not NONE:
                    self.problems = []
                    value = self.value(node, option, key)
                    if not self.problems:
                        return value
                    attempts.append((option, value, self.problems))
        finally:
            self.problems = outer
        fitting = [attempt for attempt in attempts if _same_shape(node, attempt[0])]
        if isinstance(node, Mapping) and len(fitting) > 1:  # a mapping with a name is a component
            named = [a for a in fitting if isinstance(_bare(a[0]), ComponentType) == ("name" in node.items)]
            fitting = named or fitting
        for only in (fitting, attempts):  # one option has this shape, or there is one: what is wrong with it is wrong
            if len(only) == 1:
                self.problems += only[0][2]
                return only[0][1]
        component = any(isinstance(_bare(option), ComponentType) for option in type_.options)
        hint = f"{key}: {{name: ...}}" if component else None
        return self.report(node.mark, key, f"expected {type_}, got {describe(node)}", hint)

    def _literal(self, node: Node, type_: LiteralType, key: str) -> Value:
        value = node.value if isinstance(node, Scalar) else INVALID
        for choice in type_.values:
            if value == choice and type(value) is type(choice):
                return choice
        words = [word(v) for v in type_.values]
        hint = near(value, words)
        if isinstance(value, str) and value in words:
            hint = f"write {value} without quotes"
        return self.report(node.mark, key, f"expected {one_of(words)}, got {describe(node)}", hint)

    def _enum(self, node: Node, type_: EnumType, key: str) -> Value:
        keys = [k for k, _ in type_.members]
        value = node.value if isinstance(node, Scalar) else None
        for choice, member in type_.members:
            if value == choice:
                return EnumRef(type_.target, member, choice)
        return self.report(node.mark, key, f"expected {one_of(keys)}, got {describe(node)}", near(value, keys))

    def _sequence(self, node: Node, type_: ListType | TupleType, key: str) -> Value:
        if not isinstance(node, Sequence):
            hint = sequence_hint(self._written(node, type_), type_, key, on_line=not node.mark.line)
            return self.report(node.mark, key, f"expected {with_article(type_)}, got {describe(node)}", hint)
        if isinstance(type_, TupleType) and not type_.variadic:
            if len(node.items) != len(type_.items):
                message = f"expected {len(type_.items)} values, {type_}, got {len(node.items)}"
                return self.report(node.mark, key, message)
            types = type_.items
        else:
            types = (type_.item if isinstance(type_, ListType) else type_.items[0],) * len(node.items)
        values = [self.value(n, t, f"{key}.{i}") for i, (n, t) in enumerate(zip(node.items, types, strict=True))]
        if INVALID in values:
            return INVALID
        return values if isinstance(type_, ListType) else tuple(values)

    def _written(self, node: Node, type_: ListType | TupleType) -> str | None:
        """Returns the text of a value that could be an item of the list, else None."""
        items = (type_.item,) if isinstance(type_, ListType) else type_.items
        outer, self.problems = self.problems, []
        try:
            fits = all(self.value(node, item, "") is not INVALID and not self.problems for item in items)
        finally:
            self.problems = outer
        return node.raw if fits and isinstance(node, Scalar) else None

    def _mapping(self, node: Node, type_: DictType, key: str) -> Value:
        if not isinstance(node, Mapping):
            return self.report(node.mark, key, f"expected a mapping, got {describe(node)}")
        keys = {k: self._key(node, k, type_.key, key) for k in node.items}
        values = {keys[k]: self.value(v, type_.value, join(key, k)) for k, v in node.items.items()}
        return INVALID if INVALID in (*keys.values(), *values.values()) else values

    def _key(self, node: Mapping, text: str, type_: Type, key: str) -> Value:
        """Returns a key of a mapping as its annotation wants it: ``dict[int, float]`` has numbers as keys."""
        if type_ not in (INT, FLOAT, BOOL):
            return text
        parsed, _ = parse_value(text, node.mark.source)
        value = parsed.value if isinstance(parsed, Scalar) else text
        return self.value(Scalar(value, node.mark_of(text), text), type_, join(key, text))


_BOUNDS: dict[str, Callable[[Any, float], bool]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "multiple of": lambda value, bound: value % bound == 0,
    "length >=": lambda value, bound: len(value) >= bound,
    "length <=": lambda value, bound: len(value) <= bound,
}


def is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def is_broken(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is BROKEN


def _bare(type_: Type) -> Type:
    """Sees through bounds and `Decode`."""
    while isinstance(type_, BoundedType | MarkedType):
        type_ = type_.base
    return type_


def _same_shape(node: Node, option: Type) -> bool:
    option = _bare(option)
    if isinstance(node, Sequence):
        return isinstance(option, ListType | TupleType)
    if isinstance(node, Mapping):
        return isinstance(option, DictType | StructType | ComponentType)
    if isinstance(node.value, str):
        return option in (STR, PATH) or isinstance(option, LiteralType | EnumType | ComponentType | RunType)
    return option in {int: (INT, FLOAT), float: (FLOAT,), bool: (BOOL,)}.get(type(node.value), ())


def join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
