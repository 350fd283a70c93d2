"""Checks a recipe's tree against the installed components: every mistake in one pass, none that follows from another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rk.catalog import Catalog
from rk.errors import Mark, Problem, UserError, nearest, suggest
from rk.recipe.compose import apply_override, compose
from rk.recipe.find import RecipeFile
from rk.recipe.model import EnumRef, Recipe, RunRef, Spec, default_values
from rk.recipe.sections import ALL_KEYS, COMPONENT_KEYS, Expect, Fit, Sections
from rk.recipe.tree import Mapping, Node, Scalar, Sequence, describe
from rk.static import ClassInfo, Signature, constructor, load_class
from rk.static.signature import method
from rk.static.types import (
    ANY, BOOL, FLOAT, INT, NONE, PATH, STR, BoundedType, ComponentType, DecodeType, DictType, EnumType, ListType,
    LiteralType, RunType, TupleType, Type, UnionType,
)  # fmt: skip


class _Invalid:
    """What stands for a value that has been reported."""


INVALID: Any = _Invalid()


def read_recipe(
    recipe: RecipeFile, overrides: tuple[str, ...], catalog: Catalog, *, run_finder: Any = None
) -> tuple[Recipe, list[Problem], bool]:
    """Reads and checks a recipe file, short of the contract between its components (`rk.contract`).

    Args:
        recipe: The file.
        overrides: Command-line overrides, in order.
        catalog: The installed components.
        run_finder: Turns the text of a `Run` parameter into a folder.

    Returns:
        The recipe, with None for what is broken; all problems; and whether nothing was broken.
    """
    tree, problems = compose(recipe, overrides, catalog.plugins)
    checker = Checker(catalog, recipe.plugin, recipe.path.parent, run_finder)
    checker.problems += problems
    result = checker.recipe(tree, recipe.name)
    return result, checker.problems, not checker.problems


def read_search(
    kind: str, name: str, options: dict[str, Any], fit: tuple[str, ...], catalog: Catalog, run_finder: Any
) -> tuple[Recipe, list[Problem]]:
    """Checks a search or an analysis given on the command line as if a recipe said it.

    Args:
        kind: ``search`` or ``analysis``.
        name: The component's name.
        options: Parameter -> text as written on the command line.
        fit: Overrides ``fit.x=...`` and others.
        catalog: The installed components.
        run_finder: Turns the text of a `Run` parameter into a folder.
    """
    here = Mark("command line")
    tree = Mapping({}, here, {})
    tree.put("rk", Scalar(1, here, "1"))
    tree.put("search", Mapping({"name": Scalar(name, here, name)}, here, {}))
    problems: list[Problem] = []
    for key, text in options.items():
        problems += apply_override(tree, f"search.{key}={text}")
    for override in fit:
        problems += apply_override(tree, override)
    checker = Checker(catalog, None, Path.cwd(), run_finder)
    checker.problems += problems
    checker.component_keys = {**COMPONENT_KEYS, "search": kind}
    return checker.recipe(tree, name.replace("/", "-")), checker.problems


class Checker:
    """Turns nodes into values; keeps `problems`."""

    def __init__(self, catalog: Catalog, plugin: str | None, folder: Path, run_finder: Any = None) -> None:
        self.catalog = catalog
        self.plugin = plugin
        self.folder = folder
        self.run_finder = run_finder
        self.component_keys = COMPONENT_KEYS
        self.problems: list[Problem] = []

    def report(self, mark: Mark, key: str, message: str, hint: str | None = None) -> Any:
        self.problems.append(Problem(mark, key, message, hint))
        return INVALID

    # -- the recipe ------------------------------------------------------------------------------------------------

    def recipe(self, tree: Mapping, name: str) -> Recipe:
        """Checks the whole tree."""
        result = Recipe(name, marks={k: tree.mark_of(k) for k in tree.items})
        result.marks[""] = tree.mark
        for key in tree.items:
            if key not in ALL_KEYS:
                self.report(tree.mark_of(key), key, "unknown key", suggest(key, ALL_KEYS, "a recipe has"))
        self._sections(tree, result)
        for key, kind in self.component_keys.items():
            node = tree.items.get(key)
            if node is not None and not _is_null(node):
                spec = self.component(node, ComponentType(kind=kind), key)
                setattr(result, key, None if spec is INVALID else spec)
        result.callbacks = self._callbacks(tree.items.get("callbacks"))
        result.metrics = self._metrics(tree.items.get("metrics"))
        result.fit = self._section(tree.items.get("fit"), "rk.recipe.sections:Fit", Fit, "fit") or Fit()
        result.expect = self._expect(tree.items.get("expect"))
        self._required_keys(tree, result)
        return result

    def _sections(self, tree: Mapping, result: Recipe) -> None:
        keys = Mapping({}, tree.mark, tree.key_marks)
        keys.items = {k: v for k, v in tree.items.items() if k in ("rk", "paper", "about")}
        if "rk" not in keys.items:
            self.report(tree.mark, "rk", "missing: the version of the recipe format", "begin the recipe with rk: 1")
            keys.put("rk", Scalar(1, tree.mark, "1"))
        sections = self._section(keys, "rk.recipe.sections:Sections", Sections, "")
        if sections is not None:
            result.paper, result.about = sections.paper, sections.about

    def _required_keys(self, tree: Mapping, result: Recipe) -> None:
        if "trainer" in tree.items and "search" in tree.items:
            self.report(tree.mark_of("search"), "search", "a recipe has a trainer or a search, not both")
        elif "search" not in tree.items:
            for key, hint in (("data", "the task"), ("trainer", "the learning algorithm, as in trainer: backprop")):
                if key not in tree.items or _is_null(tree.items[key]):
                    self.report(tree.mark, key, f"missing: {hint}")

    def _callbacks(self, node: Node | None) -> list[Spec]:
        if node is None or _is_null(node):
            return []
        if not isinstance(node, Sequence):
            self.report(node.mark, "callbacks", f"expected a list, found {describe(node)}", "callbacks: [NAME, ...]")
            return []
        kind = ComponentType(kind="callback")
        specs = [self.component(item, kind, f"callbacks.{i}") for i, item in enumerate(node.items)]
        return [s for s in specs if s is not INVALID]

    def _metrics(self, node: Node | None) -> dict[str, Spec]:
        if node is None or _is_null(node):
            return {}
        if not isinstance(node, Mapping):
            self.report(node.mark, "metrics", f"expected a mapping, found {describe(node)}", "metrics: {top5: {name: ...}}")
            return {}
        kind = ComponentType(kind="metric")
        specs = {key: self.component(item, kind, f"metrics.{key}") for key, item in node.items.items()}
        return {key: s for key, s in specs.items() if s is not INVALID}

    def _expect(self, node: Node | None) -> list[Expect]:
        if node is None or _is_null(node):
            return []
        if not isinstance(node, Sequence):
            self.report(node.mark, "expect", f"expected a list, found {describe(node)}", "expect: [{metric: ...}]")
            return []
        target = "rk.recipe.sections:Expect"
        claims = [self._section(item, target, Expect, f"expect.{i}") for i, item in enumerate(node.items)]
        for claim, item in zip(claims, node.items, strict=True):
            if claim is not None and "/" not in claim.metric:
                mark = item.items["metric"].mark
                self.report(mark, "metric", f"{claim.metric!r} names no split", f"as in test/{claim.metric}")
        return [c for c in claims if c is not None]

    def _section(self, node: Node | None, target: str, cls: type, key: str) -> Any:
        """Checks one of the host's own sections against its dataclass; None when it is absent or broken."""
        if node is None or _is_null(node):
            return None
        if not isinstance(node, Mapping):
            self.report(node.mark, key, f"expected a mapping, found {describe(node)}")
            return None
        before = len(self.problems)
        signature = constructor(load_class(target))
        values = self._params(node, signature, key, skip=())
        for param in signature.params:
            if param.required and param.name not in node.items:
                self.report(node.mark, _join(key, param.name), f"missing: {param.type}")
        return cls(**values) if len(self.problems) == before else None

    # -- components ------------------------------------------------------------------------------------------------

    def component(self, node: Node, type_: ComponentType, key: str) -> Any:
        """Checks a component, given as a bare name or as a mapping with ``name``; returns a `Spec` or INVALID."""
        kind = type_.kind
        if isinstance(node, Scalar) and isinstance(node.value, str):
            node = Mapping({"name": node}, node.mark, {"name": node.mark})
        if not isinstance(node, Mapping):
            return self.report(node.mark, key, f"expected a {kind}, found {describe(node)}", f"{key}: {{name: ...}}")
        name = node.items.get("name")
        if name is None:
            choices = ", ".join(sorted(c.name for c in self.catalog.of_kind(kind)))
            return self.report(node.mark, f"{key}.name", f"missing: which {kind}", f"installed {kind}s: {choices or 'none'}")
        if not isinstance(name, Scalar) or not isinstance(name.value, str):
            return self.report(name.mark, f"{key}.name", f"expected a {kind}'s name, found {describe(name)}")
        try:
            component = self.catalog.resolve(kind, name.value, self.plugin)
            signature = self.catalog.signature(component)
        except UserError as error:
            return self.report(name.mark, key, error.message, error.hint)
        info = self.catalog.info(component)
        supplied = self._supplied(type_) if type_.factory else None
        if not self._fits_protocol(info, component, type_, name.mark, key):
            return INVALID
        before = len(self.problems)
        params = self._params(node, signature, key, skip=("name",), supplied=supplied or (), owner=component)
        absent = [p for p in signature.params if p.name not in node.items and p.name not in (supplied or ())]
        spec = Spec(
            component,
            {k: v for k, v in params.items() if v is not INVALID},
            tuple(p for p in absent if p.required),
            node.mark,
            key,
            default_values(tuple(absent)),
            {k: node.mark_of(k) for k in node.items},
            supplied,
            frozenset(p.name for p in signature.params if p.decode),
        )
        return spec if len(self.problems) == before else INVALID

    def _supplied(self, type_: ComponentType) -> tuple[str, ...]:
        """Returns the parameters that a factory's caller passes: those of the protocol's own constructor."""
        info = ClassInfo(type_.protocol.module, type_.protocol.node)
        init = method(info, "__init__")
        return tuple(init.names) if init else ()

    def _fits_protocol(self, info: ClassInfo, component: Any, type_: ComponentType, mark: Mark, key: str) -> bool:
        """Checks what the annotation asks for beyond the kind: members, and the parameters that a caller supplies."""
        if type_.protocol.node is None:
            return True
        protocol = ClassInfo(type_.protocol.module, type_.protocol.node)
        lacking = missing_members(info, protocol)
        if lacking:
            self.report(mark, key, f"{component.name} is no {protocol.node.name}: it has no {_listed(lacking)}")
            return False
        if type_.factory:
            accepted = self.catalog.signature(component).names
            refused = [n for n in self._supplied(type_) if n not in accepted]
            if refused:
                self.report(mark, key, f"{component.name} does not take {_listed(refused)}, which its user supplies")
                return False
        return True

    def _params(
        self,
        node: Mapping,
        signature: Signature,
        key: str,
        *,
        skip: tuple[str, ...],
        supplied: tuple[str, ...] = (),
        owner: Any = None,
    ) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, child in node.items.items():
            if name in skip:
                continue
            where, mark = _join(key, name), node.mark_of(name)
            if name in supplied:
                self.report(mark, where, "is supplied by the component that uses this one", "leave it out")
            elif name not in signature:
                noun = f"{owner.name} of {owner.distribution} takes" if owner else "choose from"
                accepted = [n for n in signature.names if n not in supplied]
                hint = suggest(name, accepted, noun) or (f"{owner.name} takes no parameters" if owner else None)
                self.report(mark, where, "unknown key" if not owner else "unknown parameter", hint)
            else:
                values[name] = self.value(child, signature[name].type, where)
        return values

    # -- values ----------------------------------------------------------------------------------------------------

    def value(self, node: Node, type_: Type, key: str) -> Any:
        """Checks one value against one type; returns it, or INVALID after a report."""
        match type_:
            case DecodeType(base=base):
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
            case RunType():
                return self._run(node, key)
        return self._primitive(node, type_, key)

    def _primitive(self, node: Node, type_: Type, key: str) -> Any:
        if type_ is ANY:
            return _plain_value(node)
        if type_ not in (BOOL, INT, FLOAT, STR, NONE, PATH):
            return self.report(node.mark, key, f"takes {type_}, which a recipe cannot express", "leave it out: a fact fills it")
        if not isinstance(node, Scalar):
            return self.report(node.mark, key, f"expected {_article(type_)}, found {describe(node)}")
        value = node.value
        if type_ is PATH and isinstance(value, str):
            return self._path(node)
        if type_ is FLOAT and type(value) is int:
            return float(value)
        python = {BOOL: bool, INT: int, FLOAT: float, STR: str, NONE: type(None)}.get(type_)
        if type(value) is python:
            return value
        hint = None
        if type_ in (STR, PATH) and value is not None:
            hint = f'put it in quotes: "{node.raw}"'
        elif type_ is INT and isinstance(value, float) and value == int(value) and abs(value) < 1e15:
            hint = f"write {int(value)}"
        elif type_ is BOOL:
            hint = "write true or false"
        elif isinstance(value, str) and type_ in (INT, FLOAT) and _number(value):
            hint = f"write {value} without quotes"
        return self.report(node.mark, key, f"expected {_article(type_)}, found {describe(node)}", hint)

    def _path(self, node: Scalar) -> Path:
        """A path in a file is relative to that file, one on the command line to the working folder."""
        path = Path(node.value).expanduser()
        return path if path.is_absolute() else ((self.folder if node.mark.line else Path.cwd()) / path).resolve()

    def _bounded(self, node: Node, type_: BoundedType, key: str) -> Any:
        value = self.value(node, type_.base, key)
        if value is INVALID or value is None:
            return value
        for operator, bound in type_.bounds:
            keeps = {
                ">=": lambda v, b: v >= b,
                ">": lambda v, b: v > b,
                "<=": lambda v, b: v <= b,
                "<": lambda v, b: v < b,
                "multiple of": lambda v, b: v % b == 0,
                "length >=": lambda v, b: len(v) >= b,
            }[operator]
            if not keeps(value, bound):
                return self.report(node.mark, key, f"must be {operator} {bound:g}, found {_shown(node)}")
        return value

    def _union(self, node: Node, type_: UnionType, key: str) -> Any:
        if _is_null(node) and NONE in type_.options:
            return None
        outer, self.problems = self.problems, []
        attempts: list[tuple[Type, list[Problem]]] = []
        try:
            for option in type_.options:
                self.problems = []
                value = self.value(node, option, key)
                if not self.problems:
                    return value
                attempts.append((option, self.problems))
        finally:
            self.problems = outer
        fitting = [problems for option, problems in attempts if _same_shape(node, option)]
        if len(fitting) == 1:  # only one option has this shape: what is wrong inside it is what is wrong
            self.problems += fitting[0]
            return INVALID
        return self.report(node.mark, key, f"expected {type_}, found {describe(node)}")

    def _literal(self, node: Node, type_: LiteralType, key: str) -> Any:
        value = node.value if isinstance(node, Scalar) else INVALID
        for choice in type_.values:
            if value == choice and type(value) is type(choice):
                return choice
        words = [str(v) for v in type_.values]
        found = describe(node) if not isinstance(node, Scalar) or not isinstance(node.value, str) else repr(node.value)
        return self.report(node.mark, key, f"expected {_one_of(words)}, found {found}", _near(value, words))

    def _enum(self, node: Node, type_: EnumType, key: str) -> Any:
        keys = [k for k, _ in type_.members]
        value = node.value if isinstance(node, Scalar) else None
        for choice, member in type_.members:
            if value == choice:
                return EnumRef(type_.target, member, choice)
        return self.report(node.mark, key, f"expected {_one_of(keys)}, found {describe(node)}", _near(value, keys))

    def _sequence(self, node: Node, type_: ListType | TupleType, key: str) -> Any:
        if not isinstance(node, Sequence):
            return self.report(node.mark, key, f"expected {type_}, found {describe(node)}", f"{key.rpartition('.')[2]}: [...]")
        if isinstance(type_, TupleType) and not type_.variadic:
            if len(node.items) != len(type_.items):
                message = f"expected {len(type_.items)} values, {type_}, found {len(node.items)}"
                return self.report(node.mark, key, message)
            types = type_.items
        else:
            types = (type_.item if isinstance(type_, ListType) else type_.items[0],) * len(node.items)
        values = [self.value(n, t, f"{key}.{i}") for i, (n, t) in enumerate(zip(node.items, types, strict=True))]
        if INVALID in values:
            return INVALID
        return values if isinstance(type_, ListType) else tuple(values)

    def _mapping(self, node: Node, type_: DictType, key: str) -> Any:
        if not isinstance(node, Mapping):
            return self.report(node.mark, key, f"expected a mapping, found {describe(node)}")
        values = {k: self.value(v, type_.value, _join(key, k)) for k, v in node.items.items()}
        return INVALID if INVALID in values.values() else values

    def _run(self, node: Node, key: str) -> Any:
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            return self.report(node.mark, key, f"expected a run folder, found {describe(node)}")
        if self.run_finder is None:
            return RunRef(Path(node.value))
        try:
            return RunRef(self.run_finder(node.value))
        except UserError as error:
            return self.report(node.mark, key, error.message, error.hint)


def missing_members(info: ClassInfo, protocol: ClassInfo) -> list[str]:
    """Returns the members that `protocol` asks for beyond its kind and that the class `info` does not have.

    A class with bases that cannot be read may have them all the same: nothing is reported for it.
    """
    asked = {name for each in protocol.mro() if each.module.name != "rk.protocols" for name in each.members()}
    if [b for b in info.opaque_bases() if not b.startswith("typing.")]:
        return []
    return sorted(asked - info.members() - {"forward"})


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def _same_shape(node: Node, option: Type) -> bool:
    while isinstance(option, BoundedType | DecodeType):
        option = option.base
    if isinstance(node, Sequence):
        return isinstance(option, ListType | TupleType)
    if isinstance(node, Mapping):
        return isinstance(option, DictType | ComponentType)
    if isinstance(node.value, str):
        return option in (STR, PATH) or isinstance(option, LiteralType | EnumType | ComponentType | RunType)
    return option in {int: (INT, FLOAT), float: (FLOAT,), bool: (BOOL,)}.get(type(node.value), ())


def _plain_value(node: Node) -> Any:
    if isinstance(node, Mapping):
        return {k: _plain_value(v) for k, v in node.items.items()}
    if isinstance(node, Sequence):
        return [_plain_value(v) for v in node.items]
    return node.value


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _article(type_: Type) -> str:
    words = {INT: "an int", STR: "a string", BOOL: "a bool", FLOAT: "a float", PATH: "a path"}
    return words.get(type_, str(type_))


def _listed(names: list[str]) -> str:
    return " and ".join(f"`{n}`" for n in names)


def _shown(node: Node) -> str:
    return node.raw if isinstance(node, Scalar) else describe(node)


def _one_of(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _near(value: Any, words: list[str]) -> str | None:
    close = nearest(value, words) if isinstance(value, str) else None
    return f"did you mean {close}?" if close else None


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


__all__ = ["INVALID", "Checker", "missing_members", "read_recipe", "read_search"]
