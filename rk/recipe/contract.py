"""The contract between a recipe's components: which component needs and which provides each field, fact and capability.

Checked from the source, before the first step and before torch is imported. What is already known to be broken takes no
part: no problem is reported that follows from another one.
"""

from __future__ import annotations

from rk.catalog import Catalog, plural
from rk.errors import Mark, Problem, UserError
from rk.kinds import KINDS
from rk.plugins import Component
from rk.recipe.claims import Claims
from rk.recipe.components import missing_members
from rk.recipe.facts import Facts
from rk.recipe.fields import Fields
from rk.recipe.findings import Binding, Findings, Part
from rk.recipe.model import Recipe, Spec
from rk.recipe.settings import Settings
from rk.static import ClassInfo, Param, Signature, StaticError, class_of, method
from rk.static.types import ClassType, ComponentType, UnionType

BEGIN_PARAMS = ("data", "runtime")
SETUP_PARAMS = ("model", "loss", "data", "runtime")

BOUND_KINDS = ("model", "loss", "metric")
"""Kinds whose methods are required only where their fields are bound: not every trainer calls them."""

WRAPPERS = ("ModelWrapper", "LossWrapper", "DataWrapper", "MetricWrapper")
"""Classes of `rk.wrappers`, whose objects have the attributes of what they wrap."""


def check_contract(recipe: Recipe, catalog: Catalog) -> tuple[Binding, list[Problem], list[Problem]]:
    """Checks how the components of `recipe` fit each other.

    Returns:
        The binding, the problems, and the warnings.
    """
    found = Findings(recipe, catalog)
    try:
        _Contract(found).run()
    except StaticError as error:  # a module that a component's methods lead to
        found.problems.append(Problem(recipe.marks[""], "", error.message))
    return found.binding, found.problems, found.warnings


class _Contract(Part):
    def run(self) -> None:
        for _, spec in self.recipe.top_level():
            self._required_methods(spec)
        for asker in (self.recipe.model, self.recipe.loss, self.recipe.algorithm):
            if asker is not None:
                self._begin_asks_for(asker)
        facts = Facts(self.found)
        facts.bind()
        self._ends()
        Settings(self.found).check()
        setup = self._setup()
        if setup is not None:
            Fields(self.found).bind(setup)
        facts.report_lacking()
        Claims(self.found).check()

    def _required_methods(self, spec: Spec) -> None:
        """A component without the methods of its kind is its author's mistake: it is named with its distribution."""
        kind, info = KINDS[spec.component.kind], self.info(spec)
        if kind.name in BOUND_KINDS or info.opaque_bases():
            return
        for names in kind.methods:
            if not any(info.find(name) for name in names):
                lacking = " or ".join(f"{name}()" for name in names)
                self.report(spec, spec.key, f"{spec.component.distribution}: {self.who(spec)} has no method {lacking}")

    def _begin_asks_for(self, spec: Spec) -> None:
        found = method(self.info(spec), "begin")
        for name in found.names if found is not None else ():
            if name not in BEGIN_PARAMS:
                message = f"begin() asks for {name!r}; it may ask for {' and '.join(BEGIN_PARAMS)}"
                self.report(spec, spec.key, f"{spec.component.distribution}: {self.who(spec)}: {message}")

    def _ends(self) -> None:
        spec, fit = self.recipe.algorithm, self.recipe.fit
        if spec is None or fit.max_steps or fit.max_epochs or fit.max_time or "fit" in self.recipe.broken:
            return
        step = method(self.info(spec), "step")
        if step is not None and not step.may_return_none():
            message = f"missing: {self.who(spec)} does not end by itself"
            mark = self.recipe.marks.get("fit", self.recipe.marks[""])
            self.problems.append(Problem(mark, "fit.max_steps", message, "give fit.max_steps or fit.max_epochs"))

    def _setup(self) -> Signature | None:
        """Checks what the trainer's ``setup`` asks for; returns its signature when fields can be bound."""
        spec = self.recipe.algorithm
        if spec is None:
            return None
        setup = method(self.info(spec), "setup")
        if setup is None:
            return None
        for name in setup.names:
            if name not in SETUP_PARAMS:
                message = f"setup() asks for {name!r}; it may ask for {', '.join(SETUP_PARAMS)}"
                self.report(spec, spec.key, f"{spec.component.distribution}: {self.who(spec)}: {message}")
        for key in ("model", "loss"):
            self._wanted(spec, setup, key)
        for key in ("model", "loss", "data"):
            given = getattr(self.recipe, key)
            if given is not None and key in setup:
                self._capability(given, setup[key], spec)
        return setup

    def _wanted(self, spec: Spec, setup: Signature, key: str) -> None:
        given = getattr(self.recipe, key)
        if key not in setup:
            if given is not None:
                self.report(given, key, f"{self.who(spec)} takes no {key}", f"leave {key} out")
        elif given is None and setup[key].required and not setup[key].optional and not self.unknown(key):
            choices = ", ".join(sorted(c.name for c in self.catalog.of_kind(key)))
            self.report(None, key, f"missing: {self.who(spec)} needs a {key}", f"installed: {choices or 'none'}")

    def _capability(self, given: Spec, param: Param, asker: Spec) -> None:
        """Checks that `given` has the members of the Protocol that `param` is annotated with."""
        options = param.type.options if isinstance(param.type, UnionType) else (param.type,)
        asked = [o.protocol for o in options if isinstance(o, ComponentType | ClassType)]
        if len(asked) != 1:
            return
        protocol = class_of(asked[0])
        if protocol is None:
            return
        lacking = missing_members(self.info(given), protocol)
        if lacking and given.base is not None and self._is_wrapper(given):
            lacking = [name for name in lacking if name in missing_members(self.info(given.base), protocol)]
        if lacking:
            names = " and ".join(f"`{n}`" for n in lacking)
            kind, has = given.component.kind, f"{given.component.name} has none"
            fits = sorted(c.name for c in self.catalog.of_kind(kind) if self._has_members(c, protocol))
            hint = f"{plural(kind)} that have: {', '.join(fits)}" if fits else f"no installed {kind} has"
            message = f"{asker.component.name} needs {ComponentType(kind=kind)} with {names}; {has}"
            self.misfits |= {given.key.partition(".")[0], asker.key.partition(".")[0]}
            self.report(given, given.key, message, hint)

    def _is_wrapper(self, spec: Spec) -> bool:
        """Whether it has the attributes of the component that it wraps."""
        return any(self.info(spec).inherits(f"rk.wrappers.{name}") for name in WRAPPERS)

    def _has_members(self, component: Component, protocol: ClassInfo) -> bool:
        try:
            return not missing_members(self.catalog.info(component), protocol)
        except UserError:  # some other plugin's mistake
            return False


def why_not(components: dict[str, Component], catalog: Catalog) -> str | None:
    """Returns the first reason why these components cannot be combined in one recipe, or None: `rk list --fits`.

    Args:
        components: Kind -> component; what a recipe needs besides is left open.
        catalog: Where they come from.
    """
    here = Mark("--fits")
    recipe = Recipe("fits", marks={"": here})
    if "trainer" not in components and "search" not in components and "model" in components:
        components = {**components, "trainer": catalog.resolve("trainer", "backprop")}
    try:
        for kind, component in components.items():
            required = tuple(p for p in catalog.signature(component).params if p.required)
            setattr(recipe, kind, Spec(component, {}, required, here, kind))
        _, problems, _ = check_contract(recipe, catalog)
    except UserError as error:
        return error.message
    reasons = [p.message for p in problems if not p.message.startswith("missing:")]
    return reasons[0] if reasons else None
