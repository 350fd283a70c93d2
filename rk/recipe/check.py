"""Checks a recipe's tree against the installed components: all mistakes in one pass, none that follows from another."""

from __future__ import annotations

import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rk.catalog import Catalog, Component, plural
from rk.errors import Mark, Problem, RecipeError, UserError, nearest, suggest
from rk.hookspecs import HOOK_OF_KIND
from rk.recipe.compose import apply_override, compose
from rk.recipe.find import RecipeFile, resolved
from rk.recipe.hints import RECIPE_KEYS, missing, places_of, sequence_hint, unknown_key_hint
from rk.recipe.model import EnumRef, InitFrom, Recipe, Spec, Struct
from rk.recipe.named_runs import read_run
from rk.recipe.own_data import on_own_data
from rk.recipe.sections import ALL_KEYS, COMPONENT_KEYS, SECTION_KEYS, Expect, Fit
from rk.recipe.tree import BROKEN, Mapping, Node, Scalar, Sequence, describe, parse_value, plain_value
from rk.recipe.wording import how_to_write, listed, near, one_of, shown, with_article
from rk.static import ClassInfo, Param, Signature, constructor, load_class, method
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
    literal,
    word,
)  # fmt: skip


class _Invalid:
    """What stands for a value that has been reported."""


INVALID: Any = _Invalid()

MAX_PROBLEMS = 100
INT_BOUNDS = ((">=", -(2**63)), ("<=", 2**63 - 1))
"""What a whole number may be where its parameter has no bound of that side: torch counts in 64 bits."""


def read_recipe(
    recipe: RecipeFile,
    overrides: tuple[str, ...],
    catalog: Catalog,
    *,
    run_finder: Any = None,
    above: tuple[Path, ...] = (),
    stored: bool = False,
) -> tuple[Recipe, list[Problem], bool]:
    """Reads and checks a recipe file, short of the contract between its components (`rk.contract`).

    Args:
        recipe: The file.
        overrides: Command-line overrides, in order.
        catalog: The installed components.
        run_finder: Turns the text of a `Run` parameter into a folder.
        above: The files that lead to this one, where a recipe names it as that of a run that it begins from.
        stored: Whether it is the recipe of a run: runs that it began from may be gone.

    Returns:
        The recipe, with what is right of it; all problems; and whether there are none.
    """
    tree, problems = compose(recipe, overrides, catalog.plugins, catalog.plugins.index)
    checker = Checker(catalog, recipe.plugin, run_finder)
    checker.file, checker.above, checker.stored = recipe, (*above, resolved(recipe.path)), stored
    checker.problems += problems
    result = checker.recipe(tree, recipe.name)
    result.overrides = [*overrides]
    reader = Checker(catalog, recipe.plugin)._top_level("data")
    result.expect = on_own_data(
        result.expect, tree, recipe, overrides, catalog.plugins, lambda node: reader(node, "data")
    )
    return result, checker.problems, not checker.problems


def read_search(
    kind: str, name: str, options: dict[str, Any], fit: tuple[str, ...], catalog: Catalog, run_finder: Any
) -> tuple[Recipe, list[Problem]]:
    """Checks a search or an analysis given on the command line as if a recipe said it.

    Args:
        kind: ``search`` or ``analysis``.
        name: The component's name.
        options: Parameter -> text as written on the command line.
        fit: Overrides ``fit.x=...`` and others; they come after those in the component's own ``defaults``.
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
    for override in (*class_literal(catalog.info(catalog.resolve(kind, name)), "defaults"), *fit):
        problems += apply_override(tree, override)
    checker = Checker(catalog, None, run_finder)
    checker.problems += problems
    checker.component_keys = {**COMPONENT_KEYS, "search": kind}
    return checker.recipe(tree, name.replace("/", "-")), checker.problems


def class_literal(info: ClassInfo, name: str) -> tuple[str, ...]:
    """Returns the tuple of texts that a class has under `name`; an empty one where it has none, or no literal."""
    assigned = info.assigned(name)
    found = literal(assigned[0].module, assigned[1]) if assigned is not None else ()
    return tuple(x for x in found if isinstance(x, str)) if isinstance(found, list | tuple) else ()


def read_component(kind: str, name: str, overrides: tuple[str, ...], catalog: Catalog) -> Spec:
    """Checks one component given on the command line, with its parameters as ``KIND.parameter=value``.

    Raises:
        RecipeError: With all problems.
    """
    here = Mark("command line")
    tree = Mapping({}, here, {})
    tree.put(kind, Mapping({"name": Scalar(name, here, name)}, here, {}))
    checker = Checker(catalog, None)
    for override in overrides:
        checker.problems += apply_override(tree, override)
    spec = checker._top_level(kind)(tree.items[kind], kind)
    if spec is not INVALID:
        for param in spec.missing:
            checker.report(here, f"{kind}.{param.name}", f"missing: {param.type}")
    if checker.problems:
        raise RecipeError(checker.problems)
    return spec


class Checker:
    """Turns nodes into values; keeps `problems`."""

    def __init__(self, catalog: Catalog, plugin: str | None, run_finder: Any = None) -> None:
        self.catalog = catalog
        self.plugin = plugin
        self.run_finder = run_finder
        self.component_keys = COMPONENT_KEYS
        self.file: RecipeFile | None = None
        self.above: tuple[Path, ...] = ()
        self.stored = False
        self.invalid = INVALID
        self.problems: list[Problem] = []
        self.marks: dict[str, Mark] = {}
        self.unknown: list[tuple[Problem, str, list[str], str]] = []
        """The problems of unknown keys, with the key, what is accepted there, and the words that introduce it."""

    def report(self, mark: Mark, key: str, message: str, hint: str | None = None) -> Any:
        if len(self.problems) >= MAX_PROBLEMS:
            raise RecipeError([*self.problems, Problem(mark, key, f"and more: only {MAX_PROBLEMS} problems are shown")])
        self.problems.append(Problem(mark, key, message, hint))
        return INVALID

    # -- the recipe ------------------------------------------------------------------------------------------------

    def recipe(self, tree: Mapping, name: str) -> Recipe:
        """Checks the whole tree."""
        result = Recipe(name)
        self.marks |= {"": tree.mark, **{k: tree.mark_of(k) for k in tree.items}}
        for key in tree.items:
            if key not in ALL_KEYS:
                self._unknown(tree.mark_of(key), key, key, "unknown key", list(RECIPE_KEYS), "a recipe has")
                if (meant := nearest(key, ALL_KEYS)) not in (None, *tree.items):
                    result.broken.add(meant)
        self._sections(tree, result)
        readers = {key: self._top_level(kind) for key, kind in self.component_keys.items()}
        readers |= {"callbacks": self._callbacks, "metrics": self._metrics, "fit": self._fit, "expect": self._expect}
        readers["init_from"] = self._init_from
        for key, read in readers.items():
            node = tree.items.get(key)
            if node is None or _is_null(node):
                continue
            before = len(self.problems)
            value = INVALID if _is_broken(node) else read(node, key)
            if value is not INVALID:
                setattr(result, key, value)
            if value is INVALID or len(self.problems) != before or _holds_broken(node):
                result.broken.add(key)
        self._hint_at_places(result)
        self._required_keys(tree, result)
        result.marks = self.marks
        return result

    def _unknown(self, mark: Mark, key: str, name: str, message: str, accepted: list[str], noun: str) -> None:
        """Reports an unknown key; where else it could stand is known when the whole recipe has been read."""
        self.report(mark, key, message, suggest(name, accepted, noun))
        self.unknown.append((self.problems[-1], name, accepted, noun))

    def _hint_at_places(self, recipe: Recipe) -> None:
        """Says of each unknown key where it belongs; what is missing there is not missing, but at a wrong place."""
        said = {id(problem) for problem in self.problems}
        for problem, name, accepted, noun in self.unknown:
            if id(problem) not in said:  # of an option of a union that was not taken
                continue
            places = places_of(name, recipe, self.catalog)
            in_fit = problem.key in (name, f"fit.{name}")
            problem.hint = unknown_key_hint(name, accepted, noun, places, in_fit) or problem.hint
            recipe.broken |= {place for place in places if place in ALL_KEYS}
            recipe.broken |= {"fit"} if any(place.startswith("fit.") for place in places) else set()
            for spec in recipe.specs():
                spec.missing = tuple(p for p in spec.missing if not _is_below(f"{spec.key}.{p.name}", places))

    def _sections(self, tree: Mapping, result: Recipe) -> None:
        keys = Mapping({k: v for k, v in tree.items.items() if k in SECTION_KEYS}, tree.mark, dict(tree.key_marks))
        if "rk" not in keys.items and "rk" not in result.broken:
            self.report(tree.mark, "rk", "missing: the version of the recipe format", "begin the recipe with rk: 1")
        keys.items.setdefault("rk", Scalar(BROKEN, tree.mark))
        values = self._section_values(keys, "rk.recipe.sections:Sections", "")
        result.paper, result.about = values.get("paper"), values.get("about")
        result.requires = values.get("requires") or []

    def _required_keys(self, tree: Mapping, result: Recipe) -> None:
        given = {k for k, node in tree.items.items() if not _is_null(node)} | result.broken
        if {"trainer", "search"} <= given:
            self.report(tree.mark_of("search"), "search", "a recipe has a trainer or a search, not both")
        elif "search" not in given:
            for key, hint in (("data", "the task"), ("trainer", "the learning algorithm, as in trainer: backprop")):
                if key not in given:
                    self.report(tree.mark_of(key), key, f"missing: {hint}")

    def _top_level(self, kind: str) -> Any:
        return lambda node, key: self.component(node, ComponentType(kind=kind), key)

    def _callbacks(self, node: Node, key: str) -> Any:
        if not isinstance(node, Sequence):
            return self.report(node.mark, key, f"expected a list, found {describe(node)}", "callbacks: [NAME, ...]")
        kind = ComponentType(kind="callback")
        specs = [self.component(item, kind, f"{key}.{i}") for i, item in enumerate(node.items)]
        return [s for s in specs if s is not INVALID]

    def _metrics(self, node: Node, key: str) -> Any:
        if not isinstance(node, Mapping):
            hint = "metrics: {top5: {name: ...}}"
            return self.report(node.mark, key, f"expected a mapping, found {describe(node)}", hint)
        kind = ComponentType(kind="metric")
        specs = {name: self.component(item, kind, _join(key, name)) for name, item in node.items.items()}
        return {name: s for name, s in specs.items() if s is not INVALID}

    def _fit(self, node: Node, key: str) -> Any:
        if not isinstance(node, Mapping):
            return self.report(node.mark, key, f"expected a mapping, found {describe(node)}", "fit: {max_steps: ...}")
        self.marks |= {_join(key, name): child.mark for name, child in node.items.items()}
        return Fit(**self._section_values(node, "rk.recipe.sections:Fit", key))

    def _init_from(self, node: Node, key: str) -> Any:
        if not isinstance(node, Mapping):
            hint = "init_from: {run: last}, or init_from: {run: {recipe: NAME}}"
            return self.report(node.mark, key, f"expected a mapping, found {describe(node)}", hint)
        self.marks |= {_join(key, name): child.mark for name, child in node.items.items()}
        values = self._section_values(node, "rk.recipe.sections:InitFrom", key)
        empty = {"only": [], "skip": [], "rename": {}}
        return InitFrom(**(empty | values)) if "run" in values else INVALID

    def _expect(self, node: Node, key: str) -> Any:
        hint = "expect: [{metric: test/accuracy, at_least: 0.5}]"
        if not isinstance(node, Sequence):
            return self.report(node.mark, key, f"expected a list, found {describe(node)}", hint)
        claims = []
        for i, item in enumerate(node.items):
            if not isinstance(item, Mapping):
                if not _is_broken(item):
                    self.report(item.mark, f"{key}.{i}", f"expected a mapping, found {describe(item)}", hint)
                continue
            values = self._section_values(item, "rk.recipe.sections:Expect", f"{key}.{i}")
            if "metric" in values:
                self.marks |= {f"{key}.{len(claims)}.{name}": child.mark for name, child in item.items.items()}
                claims.append(
                    Expect.from_plain({k: v.values if isinstance(v, Struct) else v for k, v in values.items()})
                )
        return claims

    def _section_values(self, node: Mapping, target: str, key: str) -> dict[str, Any]:
        """Checks one of the host's own sections against its dataclass; returns what is right of it."""
        signature = constructor(load_class(target))
        values = self._params(node, signature, key)
        for param in signature.params if _is_spelt_right(node, signature) else ():
            if param.required and param.name not in node.items:
                self.report(node.mark, _join(key, param.name), missing(param))
        return {name: value for name, value in values.items() if value is not INVALID}

    # -- components ------------------------------------------------------------------------------------------------

    def component(self, node: Node, type_: ComponentType, key: str) -> Any:
        """Checks a component, given as a bare name or as a mapping with ``name``.

        Returns:
            A `Spec`, with what is right of the parameters, or INVALID when it is not known which component is meant.
        """
        kind = type_.kind
        if _is_broken(node):
            return INVALID
        if isinstance(node, Scalar) and isinstance(node.value, str):
            node = Mapping({"name": node}, node.mark, {"name": node.mark})
        if not isinstance(node, Mapping):
            return self.report(node.mark, key, f"expected {type_}, found {describe(node)}", f"{key}: {{name: ...}}")
        name = node.items.get("name")
        if name is None:
            choices = [c.name for c in self.catalog.of_kind(kind)]
            hint = suggest("", sorted(choices), f"installed {plural(kind)}") or f"no {kind} is installed"
            if misspelt := next((k for k in node.items if nearest(k, ["name"])), None):
                hint = f"did you mean name instead of {misspelt}?"
            return self.report(node.mark, f"{key}.name", f"missing: which {kind}", hint)
        if _is_broken(name):
            return INVALID
        if not isinstance(name, Scalar) or not isinstance(name.value, str):
            return self.report(name.mark, f"{key}.name", f"expected the name of {type_}, found {describe(name)}")
        try:
            component = self.catalog.resolve(kind, name.value, self.plugin)
            signature = self.catalog.signature(component)
            info = self.catalog.info(component)
        except UserError as error:
            return self.report(name.mark, key, error.message, error.hint)
        supplied = supplied_parameters(type_)
        if not self._fits_protocol(info, component, signature, type_, name.mark, key):
            return INVALID
        params = self._params(node, signature, key, supplied=supplied, owner=component)
        absent = [p for p in signature.params if p.name not in node.items and p.name not in supplied]
        lacking = tuple(p for p in absent if p.required) if _is_spelt_right(node, signature) else ()
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

    def _fits_protocol(
        self, info: ClassInfo, component: Component, signature: Signature, type_: ComponentType, mark: Mark, key: str
    ) -> bool:
        """Checks what the annotation asks for beyond the kind: members, and the parameters that a caller supplies."""
        if type_.protocol.node is None:
            return True
        protocol = ClassInfo(type_.protocol.module, type_.protocol.node)
        if lacking := missing_members(info, protocol):
            self.report(mark, key, f"{component.name} is no {protocol.node.name}: it has no {listed(lacking)}")
            return False
        if refused := [n for n in supplied_parameters(type_) if n not in signature]:
            self.report(mark, key, f"{component.name} does not take {listed(refused)}, which its user supplies")
            return False
        return True

    def _params(
        self,
        node: Mapping,
        signature: Signature,
        key: str,
        *,
        supplied: tuple[str, ...] = (),
        owner: Component | None = None,
    ) -> dict[str, Any]:
        """Checks the parameters of a component, or of a section of the host's where there is no `owner`."""
        values: dict[str, Any] = {}
        for name, child in node.items.items():
            where, mark = _join(key, name), node.mark_of(name)
            if name in supplied:
                self.report(mark, where, "is supplied by the component that uses this one", "leave it out")
            elif name in signature:
                values[name] = self.value(child, signature[name].type, where)
            elif owner is None:
                self._unknown(mark, where, name, "unknown key", list(signature.names), "choose from")
            elif name != "name":
                accepted = [n for n in signature.names if n not in supplied]
                noun = f"{owner.name} of {owner.distribution} takes"
                self._unknown(mark, where, name, "unknown parameter", accepted, noun)
                self.problems[-1].hint = self.problems[-1].hint or f"{owner.name} takes no parameters"
        return values

    def _defaults(self, params: list[Param]) -> dict[str, Any]:
        """Returns the defaults that a stored recipe spells out, so that a plugin's later version changes nothing.

        A default that a recipe cannot say, or that does not fit its own annotation, is left to the constructor.
        """
        outer, self.problems = self.problems, []
        try:
            found = {p.name: self.value(_as_node(p.default), p.type, "") for p in params if not p.required}
        finally:
            self.problems = outer
        return {name: value for name, value in found.items() if value is not None and _is_plain(value)}

    # -- values ----------------------------------------------------------------------------------------------------

    def value(self, node: Node, type_: Type, key: str) -> Any:
        """Checks one value against one type; returns it, or INVALID after a report."""
        if _is_broken(node):
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
                return self._struct(node, type_, key)
            case RunType():
                return read_run(self, node, key)
        if type_ is INT:
            return self._bounded(node, BoundedType(base=INT), key)
        return self._primitive(node, type_, key)

    def _primitive(self, node: Node, type_: Type, key: str) -> Any:
        if type_ is ANY:
            return plain_value(node)
        if type_ not in (BOOL, INT, FLOAT, STR, NONE, PATH):
            message = f"takes {type_}, which a recipe cannot express"
            return self.report(node.mark, key, message, "leave it out: a fact fills it")
        if not isinstance(node, Scalar):
            return self.report(node.mark, key, f"expected {with_article(type_)}, found {describe(node)}")
        value = node.value
        if type_ is PATH and isinstance(value, str):
            return self._path(node, key)
        if type_ is FLOAT and type(value) is int:
            return self._as_float(node, value, key)
        python = {BOOL: bool, INT: int, FLOAT: float, STR: str, NONE: type(None)}.get(type_)
        if type(value) is python:
            return value
        hint = how_to_write(node, type_)
        return self.report(node.mark, key, f"expected {with_article(type_)}, found {describe(node)}", hint)

    def _as_float(self, node: Scalar, value: int, key: str) -> Any:
        try:
            return float(value)
        except OverflowError:
            return self.report(node.mark, key, f"{shown(node)} is too large for a float")

    def _path(self, node: Scalar, key: str) -> Any:
        """A path in a file is relative to that file, one on the command line to the working folder."""
        folder = Path(node.mark.source).parent if node.mark.line else Path()
        try:
            return (folder / Path(node.value).expanduser()).resolve()
        except (OSError, RuntimeError, ValueError) as error:  # no such user in ~user, a loop of links, a null character
            return self.report(node.mark, key, f"{node.value!r} is no path: {error}")

    def _bounded(self, node: Node, type_: BoundedType, key: str) -> Any:
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
                return self.report(node.mark, key, f"{what} {name} {bound_text(bound)}, found {shown(node)}")
        return value

    def _union(self, node: Node, type_: UnionType, key: str) -> Any:
        if _is_null(node) and NONE in type_.options:
            return None
        outer = self.problems
        attempts: list[tuple[Type, Any, list[Problem]]] = []
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
        return self.report(node.mark, key, f"expected {type_}, found {describe(node)}", hint)

    def _literal(self, node: Node, type_: LiteralType, key: str) -> Any:
        value = node.value if isinstance(node, Scalar) else INVALID
        for choice in type_.values:
            if value == choice and type(value) is type(choice):
                return choice
        words = [word(v) for v in type_.values]
        hint = near(value, words)
        if isinstance(value, str) and value in words:
            hint = f"write {value} without quotes"
        return self.report(node.mark, key, f"expected {one_of(words)}, found {describe(node)}", hint)

    def _enum(self, node: Node, type_: EnumType, key: str) -> Any:
        keys = [k for k, _ in type_.members]
        value = node.value if isinstance(node, Scalar) else None
        for choice, member in type_.members:
            if value == choice:
                return EnumRef(type_.target, member, choice)
        return self.report(node.mark, key, f"expected {one_of(keys)}, found {describe(node)}", near(value, keys))

    def _sequence(self, node: Node, type_: ListType | TupleType, key: str) -> Any:
        if not isinstance(node, Sequence):
            hint = sequence_hint(self._written(node, type_), type_, key, on_line=not node.mark.line)
            return self.report(node.mark, key, f"expected {with_article(type_)}, found {describe(node)}", hint)
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

    def _written(self, node: Node, type_: ListType | TupleType) -> str | None:
        """Returns the text of a value that could be an item of the list, else None."""
        items = (type_.item,) if isinstance(type_, ListType) else type_.items
        outer, self.problems = self.problems, []
        try:
            fits = all(self.value(node, item, "") is not INVALID and not self.problems for item in items)
        finally:
            self.problems = outer
        return node.raw if fits and isinstance(node, Scalar) else None

    def _mapping(self, node: Node, type_: DictType, key: str) -> Any:
        if not isinstance(node, Mapping):
            return self.report(node.mark, key, f"expected a mapping, found {describe(node)}")
        keys = {k: self._key(node, k, type_.key, key) for k in node.items}
        values = {keys[k]: self.value(v, type_.value, _join(key, k)) for k, v in node.items.items()}
        return INVALID if INVALID in (*keys.values(), *values.values()) else values

    def _key(self, node: Mapping, text: str, type_: Type, key: str) -> Any:
        """Returns a key of a mapping as its annotation wants it: ``dict[int, float]`` has numbers as keys."""
        if type_ not in (INT, FLOAT, BOOL):
            return text
        parsed, _ = parse_value(text, node.mark.source)
        value = parsed.value if isinstance(parsed, Scalar) else text
        return self.value(Scalar(value, node.mark_of(text), text), type_, _join(key, text))

    def _struct(self, node: Node, type_: StructType, key: str) -> Any:
        """Checks the fields of a dataclass; those that are left out keep the defaults that stand in its source."""
        if not isinstance(node, Mapping):
            hint = f"{key}: {{{', '.join(f'{name}: ...' for name in type_.fields)}}}"
            return self.report(node.mark, key, f"expected a mapping {type_}, found {describe(node)}", hint)
        try:
            signature = constructor(load_class(type_.target))
        except UserError as error:
            return self.report(node.mark, key, error.message, error.hint)
        values = self._params(node, signature, key)
        absent = [p for p in signature.params if p.name not in node.items]
        for param in absent if _is_spelt_right(node, signature) else ():
            if param.required:
                values[param.name] = self.report(node.mark, _join(key, param.name), missing(param))
        if INVALID in values.values() or len(values) < len(node.items):
            return INVALID
        return Struct(type_.target, self._defaults(absent) | values)


_BOUNDS: dict[str, Callable[[Any, float], bool]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "multiple of": lambda value, bound: value % bound == 0,
    "length >=": lambda value, bound: len(value) >= bound,
    "length <=": lambda value, bound: len(value) <= bound,
}


def supplied_parameters(type_: ComponentType) -> tuple[str, ...]:
    """Returns the parameters that a factory's caller passes: those of the protocol's own constructor."""
    if not type_.factory:
        return ()
    init = method(ClassInfo(type_.protocol.module, type_.protocol.node), "__init__")
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


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def _is_spelt_right(node: Mapping, signature: Signature) -> bool:
    """Whether all keys are known; else what seems to be missing may be what is misspelt."""
    return all(name == "name" or name in signature for name in node.items)


def _is_broken(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is BROKEN


def _holds_broken(node: Node) -> bool:
    if isinstance(node, Scalar):
        return _is_broken(node)
    return any(map(_holds_broken, node.items.values() if isinstance(node, Mapping) else node.items))


def _as_node(value: Any) -> Node:
    """Returns a plain value as a node without a place; one that no recipe can say as a broken one."""
    here = Mark("")
    if isinstance(value, list | tuple):
        return Sequence([_as_node(v) for v in value], here)
    if isinstance(value, dict) and all(isinstance(k, str) for k in value):
        return Mapping({k: _as_node(v) for k, v in value.items()}, here, {})
    return Scalar(value if value is None or isinstance(value, bool | int | float | str) else BROKEN, here)


def _is_plain(value: Any) -> bool:
    """Whether the value is the same wherever the recipe is read: no path, no run, no component."""
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    return value is None or isinstance(value, bool | int | float | str | EnumRef)


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


def _is_below(key: str, places: list[str]) -> bool:
    """Whether one of `places` is `key` or a key of the component that stands there."""
    return any(place == key or place.startswith(f"{key}.") for place in places)


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
