"""The result of checking a recipe's components against each other: the binding, problems and warnings."""

from __future__ import annotations

from rk.catalog import Catalog
from rk.errors import Mark, Problem
from rk.recipe.model import Recipe, Spec
from rk.record import made, record
from rk.static import ClassInfo
from rk.static.fields import Field
from rk.static.types import Type


@record
class BoundField:
    """One field: which component provides it and which reads it."""

    name: str
    type: Type
    provider: str
    readers: list[str] = made(default_factory=list)


@record
class BoundFact:
    """A constructor parameter that a fact fills."""

    owner: Spec
    param: str
    source: str


@record
class Binding:
    """The binding, as `rk validate` prints it."""

    fields: list[BoundField] = made(default_factory=list)
    facts: list[BoundFact] = made(default_factory=list)
    metrics: list[str] | None = None
    splits: tuple[str, ...] | None = None
    answers: dict[str, Field] | None = None
    unread: list[str] = made(default_factory=list)


@record
class Findings:
    """The base of the parts of the check.

    Attributes:
        misfits: Keys of components at the top level that lack a field or a capability: what follows from that is not
            reported.
    """

    recipe: Recipe
    catalog: Catalog
    binding: Binding = made(default_factory=Binding)
    problems: list[Problem] = made(default_factory=list)
    warnings: list[Problem] = made(default_factory=list)
    misfits: set[str] = made(default_factory=set)


class Part:
    """A part of the check: it reads the recipe, and adds to the findings that all parts share."""

    def __init__(self, found: Findings) -> None:
        self.found = found
        self.recipe, self.catalog, self.binding = found.recipe, found.catalog, found.binding
        self.problems, self.warnings, self.misfits = found.problems, found.warnings, found.misfits

    def unknown(self, key: str) -> bool:
        """Whether the recipe has `key`, but with a mistake that leaves open which component is meant."""
        return key in self.recipe.broken and getattr(self.recipe, key) is None

    def info(self, spec: Spec) -> ClassInfo:
        return self.catalog.info(spec.component)

    def report(self, spec: Spec | None, key: str, message: str, hint: str | None = None) -> None:
        self.problems.append(Problem(spec.mark if spec else self.recipe.marks[""], key, message, hint))

    def warn(self, mark: Mark, key: str, message: str, hint: str | None = None) -> None:
        self.warnings.append(Problem(mark, key, message, hint))

    def who(self, spec: Spec) -> str:
        return f"{spec.component.kind} {spec.component.name}"

    def having(self, data: Spec, name: str) -> ClassInfo:
        """Returns the class that has the member `name`: that of the data, or of what it wraps."""
        info = self.info(data)
        return info if data.base is None or name in info.members() else self.having(data.base, name)
