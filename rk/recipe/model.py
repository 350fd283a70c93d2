"""A checked recipe: plain values and component specs, ready to be built or written out again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rk.errors import Mark, UserError
from rk.plugins import Component
from rk.recipe.sections import Expect, Fit, plain
from rk.record import made, record
from rk.static.signature import Param
from rk.static.types import word
from rk.values import PlainDict, Value

if TYPE_CHECKING:
    from rk.recipe.find import RecipeFile


@record
class Spec:
    """A component and its checked parameters.

    Attributes:
        component: What the catalog found.
        params: Name -> value, as given: plain values, `Spec`, `Struct`, lists and dicts of them, `Path`, `RunRef`.
        missing: Required parameters that the recipe leaves out: facts must fill them.
        mark: Where the component is written.
        key: Its key in the recipe, ``trainer.optimizer``.
        defaults: Parameter -> default, as far as a recipe can express it: a stored recipe spells it out.
        supplied: Parameters that the caller of a factory passes; None for a component that is built at once.
        decodes: Parameters without effect on weights.
        training: Parameters that are given only while the run trains.
    """

    component: Component
    params: PlainDict
    missing: tuple[Param, ...]
    mark: Mark
    key: str
    defaults: PlainDict = made(default_factory=dict)
    supplied: tuple[str, ...] | None = None
    decodes: frozenset[str] = frozenset()
    training: frozenset[str] = frozenset()

    _not_compared = ("mark",)

    def nested(self) -> Iterator[Spec]:
        """Yields this spec and all components in its parameters."""
        yield self
        for value in self.params.values():
            yield from _specs_in(value)

    @property
    def base(self) -> Spec | None:
        """The one component of the same kind in its parameters: what it wraps, if its methods hand fields on.

        It may be a factory, if nothing is supplied to it: what it builds is what the recipe names.
        """
        kind = self.component.kind
        found = [v for v in self.params.values() if isinstance(v, Spec) and v.component.kind == kind]
        return found[0] if len(found) == 1 and not found[0].supplied else None

    def plain(self) -> PlainDict | str:
        """Returns the recipe's value, names qualified and defaults written out."""
        values = {k: plain_parameter(v) for k, v in (self.defaults | self.params).items()}
        return {"name": self.component.qualified, **values} if values else self.component.qualified


def _specs_in(value: Value) -> Iterator[Spec]:
    if isinstance(value, Spec):
        yield from value.nested()
    elif isinstance(value, Struct):
        yield from _specs_in(value.values)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _specs_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _specs_in(item)


@record
class Wanted:
    """A run that a recipe names by the recipe that trains it.

    Attributes:
        name: How the recipe is named: ``plugin/recipe``, or a path.
        overrides: What is changed of it, ``key=value``.
    """

    name: str
    overrides: tuple[str, ...]


@record
class Trainable(Wanted):
    """A run that is yet to be found or trained.

    Attributes:
        file: Where the recipe is.
        recipe: Its checked content.
    """

    file: RecipeFile
    recipe: Recipe
    _not_compared = ("file", "recipe")


@record
class RunRef:
    """A run that a parameter takes.

    Attributes:
        folder: Its folder; None where a recipe names it and it is yet to be found or trained, or is gone.
        wanted: The recipe that trains it, where one names it; `Trainable` where it is yet to be found or trained.
        said: The name of the folder in a stored recipe, where that is not its path.
    """

    folder: Path | None
    wanted: Wanted | None = None
    said: str | None = None

    def gone(self) -> UserError:
        """Returns the error of a run that is needed and was kept in a folder that is gone."""
        name = self.said if self.wanted is None else self.wanted.name
        return UserError(
            f"the run of {name} that this run began from is gone: it was kept in its folder",
            "put the folder from/ back, or train again",
        )

    def plain(self) -> str | PlainDict:
        """Returns the value as a recipe writes it."""
        folder = self.said or (None if self.folder is None else str(self.folder))
        if self.wanted is None:
            return str(folder)
        found: PlainDict = {"recipe": self.wanted.name}
        found |= {"overrides": list(self.wanted.overrides)} if self.wanted.overrides else {}
        return found | ({"run": folder} if folder else {})


@record
class WeightsRef(RunRef):
    """Weights outside of a run: a file, a folder, or a repository of the hub, which has no folder until it is fetched.

    Attributes:
        source: What the recipe names.
    """

    source: str = ""

    def gone(self) -> UserError:
        """Returns the error of weights that are needed and are not there."""
        return UserError(f"the weights {self.source} that this run began from are gone", "put them back")

    def plain(self) -> str | PlainDict:
        """Returns the value as a recipe writes it: an address stays, as it says more than where its file is kept."""
        return self.source if self.source.startswith("hf://") else self.said or str(self.folder or self.source)


@record
class InitFrom:
    """The initial weights of a run, from another run; fields as in `rk.recipe.sections.InitFrom`."""

    run: RunRef
    only: list[str]
    skip: list[str]
    rename: dict[str, str]

    def plain(self) -> PlainDict:
        values = {k: v for k, v in vars(self).items() if v and k != "run"}
        return {"run": self.run.plain(), **values}


@record
class Struct:
    """A dataclass that has not been imported, ``package.module:Class``, with the checked values of its fields."""

    target: str
    values: PlainDict


@record
class EnumRef:
    """A member of an enum that has not been imported: ``package.module:Enum`` and the member's name."""

    target: str
    member: str
    key: str


def plain_parameter(value: Value) -> Value:
    """Returns a checked parameter as a recipe writes it."""
    match value:
        case Spec():
            return value.plain()
        case RunRef():
            return value.plain()
        case EnumRef(key=key):
            return key
        case Struct(values=values):
            return plain_parameter(values)
        case Path():
            return str(value)
        case dict():
            return {k if isinstance(k, str) else word(k): plain_parameter(v) for k, v in value.items()}
        case list() | tuple():
            return [plain_parameter(v) for v in value]
    return value


@record
class Recipe:
    """A recipe whose every key has been checked.

    Attributes:
        marks: Key -> its place; ``""`` is the whole recipe, ``fit.monitor`` a value in a section.
        broken: Top-level keys with a mistake that has been reported; their value is what is right of them, or None.
        overrides: What the command line changed, as it was written.
    """

    name: str
    data: Spec | None = None
    model: Spec | None = None
    loss: Spec | None = None
    trainer: Spec | None = None
    search: Spec | None = None
    callbacks: list[Spec] = made(default_factory=list)
    metrics: dict[str, Spec] = made(default_factory=dict)
    init_from: InitFrom | None = None
    fit: Fit = made(default_factory=Fit)
    expect: list[Expect] = made(default_factory=list)
    paper: str | None = None
    about: str | None = None
    requires: list[str] = made(default_factory=list)
    marks: dict[str, Mark] = made(default_factory=dict)
    broken: set[str] = made(default_factory=set)
    overrides: list[str] = made(default_factory=list)

    @property
    def algorithm(self) -> Spec | None:
        """The trainer, or the search in its place."""
        return self.trainer or self.search

    @property
    def learning(self) -> Spec:
        """The trainer or search of a recipe without problems, which has one."""
        if (algorithm := self.algorithm) is None:
            raise ValueError(f"{self.name} has neither trainer nor search: its problems were not looked at")
        return algorithm

    def top_level(self) -> Iterator[tuple[str, Spec]]:
        """Yields (key, spec) of every component at the top level."""
        for key in ("data", "model", "loss", "trainer", "search"):
            if (spec := getattr(self, key)) is not None:
                yield key, spec
        for number, spec in enumerate(self.callbacks):
            yield f"callbacks.{number}", spec
        for name, spec in self.metrics.items():
            yield f"metrics.{name}", spec

    def specs(self) -> Iterator[Spec]:
        """Yields every component, nested ones too."""
        for _, spec in self.top_level():
            yield from spec.nested()

    def required(self) -> list[str]:
        """Returns the entries of `requires`, and the other distributions whose components the recipe uses."""
        from rk.compatibility import HOST, normalized, parse_requirement

        said = {normalized(parse_requirement(text).name): text for text in self.requires}
        used = {normalized(name): name for name in sorted({s.component.distribution for s in self.specs()})}
        return [*said.values(), *(name for key, name in used.items() if key not in (*said, HOST, "?"))]

    def plain(self) -> PlainDict:
        """Returns the complete recipe as plain values: it reruns as it is."""
        result: PlainDict = {"rk": 1}
        result |= {k: v for k, v in (("paper", self.paper), ("about", self.about)) if v is not None}
        if required := self.required():
            result["requires"] = required
        for key in ("model", "data", "loss", "trainer", "search"):
            if (spec := getattr(self, key)) is not None:
                result[key] = spec.plain()
        if self.callbacks:
            result["callbacks"] = [c.plain() for c in self.callbacks]
        if self.metrics:
            result["metrics"] = {k: v.plain() for k, v in self.metrics.items()}
        if self.init_from is not None:
            result["init_from"] = self.init_from.plain()
        result["fit"] = plain(self.fit)
        if self.expect:
            result["expect"] = [plain(e) for e in self.expect]
        return result

    def to_yaml(self) -> str:
        """Returns the complete recipe as text; marks, comments and inheritance are gone."""
        from rk.recipe.dump import dump

        return dump(self.plain())
