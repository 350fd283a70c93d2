"""A whole recipe: its keys, its sections, and what each of them must be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rk.errors import Mark, UserError, nearest
from rk.kinds import COMPONENT_KEYS
from rk.recipe.components import is_spelt_right
from rk.recipe.hints import RECIPE_KEYS, missing, places_of, unknown_key_hint
from rk.recipe.model import InitFrom, Recipe, Struct
from rk.recipe.named_runs import NamedRuns
from rk.recipe.sections import ALL_KEYS, SECTION_KEYS, EarlyStopping, Expect, Fit, seconds_of
from rk.recipe.tree import BROKEN, Mapping, Node, Scalar, Sequence, describe
from rk.recipe.values import INVALID, is_broken, is_null, join
from rk.recipe.walk import INITIAL
from rk.static import constructor, load_class
from rk.static.types import ComponentType
from rk.values import PlainDict, Value

if TYPE_CHECKING:
    from rk.recipe.model import WeightsRef


class RecipeReader(NamedRuns):
    """Turns the tree of a recipe into a `Recipe`; further arguments as for `NamedRuns`.

    Args:
        component_keys: Top-level key -> kind of its component.
    """

    def __init__(self, *args: Any, component_keys: dict[str, str] = COMPONENT_KEYS, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.component_keys = component_keys
        self.marks: dict[str, Mark] = {}

    def recipe(self, tree: Mapping, name: str) -> Recipe:
        """Checks the whole tree."""
        result = Recipe(name)
        self.marks |= {"": tree.mark, **{k: tree.mark_of(k) for k in tree.items}}
        for key in tree.items:
            if key not in ALL_KEYS:
                self.unknown_key(tree.mark_of(key), key, key, "unknown key", list(RECIPE_KEYS), "a recipe has")
                if (meant := nearest(key, ALL_KEYS)) is not None and meant not in tree.items:
                    result.broken.add(meant)
        self._sections(tree, result)
        readers = {key: self.top_level(kind) for key, kind in self.component_keys.items()}
        readers |= {"callbacks": self._callbacks, "metrics": self._metrics, "fit": self._fit, "expect": self._expect}
        readers["init_from"] = self._init_from
        for key, read in readers.items():
            node = tree.items.get(key)
            if node is None or is_null(node):
                continue
            before = len(self.problems)
            value = INVALID if is_broken(node) else read(node, key)
            if value is not INVALID:
                setattr(result, key, value)
            if value is INVALID or len(self.problems) != before or holds_broken(node):
                result.broken.add(key)
        self._hint_at_places(result)
        self._required_keys(tree, result)
        result.marks = self.marks
        return result

    def _hint_at_places(self, recipe: Recipe) -> None:
        """Reports where each unknown key belongs; what is missing there is then not reported too."""
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
        given = {k for k, node in tree.items.items() if not is_null(node)} | result.broken
        if {"trainer", "search"} <= given:
            self.report(tree.mark_of("search"), "search", "a recipe has a trainer or a search, not both")
        elif "search" not in given:
            for key, hint in (("data", "the task"), ("trainer", "the learning algorithm, as in trainer: backprop")):
                if key not in given:
                    self.report(tree.mark_of(key), key, f"missing: {hint}")

    def top_level(self, kind: str) -> Value:
        return lambda node, key: self.component(node, ComponentType(kind=kind), key)

    def _callbacks(self, node: Node, key: str) -> Value:
        if not isinstance(node, Sequence):
            return self.report(node.mark, key, f"expected a list, got {describe(node)}", "callbacks: [NAME, ...]")
        kind = ComponentType(kind="callback")
        specs = [self.component(item, kind, f"{key}.{i}") for i, item in enumerate(node.items)]
        return [s for s in specs if s is not INVALID]

    def _metrics(self, node: Node, key: str) -> Value:
        if not isinstance(node, Mapping):
            hint = "metrics: {top5: {name: ...}}"
            return self.report(node.mark, key, f"expected a mapping, got {describe(node)}", hint)
        kind = ComponentType(kind="metric")
        specs = {name: self.component(item, kind, join(key, name)) for name, item in node.items.items()}
        return {name: s for name, s in specs.items() if s is not INVALID}

    def _fit(self, node: Node, key: str) -> Value:
        if not isinstance(node, Mapping):
            return self.report(node.mark, key, f"expected a mapping, got {describe(node)}", "fit: {max_steps: ...}")
        self.marks |= {join(key, name): child.mark for name, child in node.items.items()}
        values = self._section_values(node, "rk.recipe.sections:Fit", key)
        if isinstance(stopping := values.get("early_stopping"), Struct):
            values["early_stopping"] = EarlyStopping(**stopping.values)
        if (time := values.get("max_time")) is not None:
            try:
                seconds_of(time)
            except ValueError as error:
                self.report(node.items["max_time"].mark, join(key, "max_time"), str(error))
                del values["max_time"]
        return Fit(**values)

    def _init_from(self, node: Node, key: str) -> Value:
        if not isinstance(node, Mapping):
            hint = "init_from: {run: last}, or init_from: {run: {recipe: NAME}}"
            return self.report(node.mark, key, f"expected a mapping, got {describe(node)}", hint)
        self.marks |= {join(key, name): child.mark for name, child in node.items.items()}
        values = self._section_values(node, "rk.recipe.sections:InitFrom", key)
        empty: PlainDict = {"only": [], "skip": [], "rename": {}}
        return InitFrom(**(empty | values)) if "run" in values else INVALID

    def run(self, node: Node, key: str) -> Value:
        """Checks a value that names a run; weights alone may begin a new run, and those need not be a run's."""
        if key.startswith(INITIAL) and isinstance(node, Scalar) and isinstance(node.value, str):
            try:
                if (found := self._weights(node.value)) is not None:
                    return found
            except UserError as error:
                return self.report(node.mark, key, error.message, error.hint)
            except OSError:  # a name too long for the file system
                pass
        return super().run(node, key)

    def _weights(self, text: str) -> WeightsRef | None:
        """Returns the weights that `text` names; of a stored recipe, those that are kept beside it."""
        from rk.recipe.foreign import find_weights, kept_weights  # most recipes name no run

        here = Path() if self.file is None else self.file.path.parent
        return kept_weights(text, here) if self.stored else find_weights(text, (here, Path()))

    def _expect(self, node: Node, key: str) -> Value:
        hint = "expect: [{metric: test/accuracy, at_least: 0.5}]"
        if not isinstance(node, Sequence):
            return self.report(node.mark, key, f"expected a list, got {describe(node)}", hint)
        claims: list[Expect] = []
        for i, item in enumerate(node.items):
            if not isinstance(item, Mapping):
                if not is_broken(item):
                    self.report(item.mark, f"{key}.{i}", f"expected a mapping, got {describe(item)}", hint)
                continue
            values = self._section_values(item, "rk.recipe.sections:Expect", f"{key}.{i}")
            if "metric" in values:
                self.marks |= {f"{key}.{len(claims)}.{name}": child.mark for name, child in item.items.items()}
                claims.append(
                    Expect.from_plain({k: v.values if isinstance(v, Struct) else v for k, v in values.items()})
                )
        return claims

    def _section_values(self, node: Mapping, target: str, key: str) -> PlainDict:
        """Checks one of the host's own sections against its dataclass; returns what is right of it."""
        signature = constructor(load_class(target))
        values = self.params(node, signature, key)
        for param in signature.params if is_spelt_right(node, signature) else ():
            if param.required and param.name not in node.items:
                self.report(node.mark, join(key, param.name), missing(param))
        return {name: value for name, value in values.items() if value is not INVALID}


def holds_broken(node: Node) -> bool:
    if isinstance(node, Scalar):
        return is_broken(node)
    return any(map(holds_broken, node.items.values() if isinstance(node, Mapping) else node.items))


def _is_below(key: str, places: list[str]) -> bool:
    """Whether one of `places` is `key` or a key of the component there."""
    return any(place == key or place.startswith(f"{key}.") for place in places)
