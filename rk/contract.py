"""The contract between a recipe's components: who needs which field, fact or capability, and who provides it.

Checked from the source, before the first step and before torch is imported. What is already known to be broken takes no
part: nothing is said that follows from another mistake.
"""

from __future__ import annotations

import ast
import fnmatch

from rk.catalog import Catalog, Component, plural
from rk.errors import Mark, Problem, UserError, nearest, suggest
from rk.kinds import KINDS
from rk.recipe.check import missing_members
from rk.recipe.hints import missing
from rk.recipe.model import Recipe, Spec
from rk.record import made, record
from rk.static import ClassInfo, Param, Signature, StaticError, method, read_function
from rk.static.classes import Field, typed_dict
from rk.static.compare import assignable, mismatch
from rk.static.source import dotted_name, unquoted
from rk.static.types import INT, ClassType, ComponentType, RunType, Type, UnionType, literal

USUALLY_OPTIONAL = ("mask", "lengths", "weights")
"""Optional fields whose absence is worth a warning: without them, padding counts as data."""

HOST_FACTS: dict[str, Type] = {"seed": INT}
"""Facts that the host provides: `fit.seed`."""

BEGIN_PARAMS = ("data", "runtime")
SETUP_PARAMS = ("model", "loss", "data", "runtime")

BOUND_KINDS = ("model", "loss", "metric")
"""Kinds whose methods are asked for where their fields are bound: not every trainer calls them."""

WRAPPERS = ("ModelWrapper", "LossWrapper", "DataWrapper", "MetricWrapper")
"""Classes of `rk.wrappers`, whose objects have the attributes of what they wrap."""


@record
class BoundField:
    """One field: who provides it and who reads it."""

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
    """What `rk validate` prints."""

    fields: list[BoundField] = made(default_factory=list)
    facts: list[BoundFact] = made(default_factory=list)
    metrics: list[str] | None = None
    splits: tuple[str, ...] | None = None
    answers: dict[str, Field] | None = None
    unread: list[str] = made(default_factory=list)


def check_contract(recipe: Recipe, catalog: Catalog) -> tuple[Binding, list[Problem], list[Problem]]:
    """Checks how the components of `recipe` fit each other.

    Returns:
        The binding, the problems, and the warnings.
    """
    check = _Contract(recipe, catalog)
    try:
        check.run()
    except StaticError as error:  # a module that a component's methods lead to
        check.report(None, "", error.message)
    return check.binding, check.problems, check.warnings


class _Contract:
    def __init__(self, recipe: Recipe, catalog: Catalog) -> None:
        self.recipe = recipe
        self.catalog = catalog
        self.binding = Binding()
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self._bound: dict[str, BoundField] = {}
        self._lacking: list[tuple[Spec, Param, Problem]] = []
        """Missing parameters that other data could give: said only of components that fit the data."""
        self._misfits: set[str] = set()
        """Keys of components at the top level that lack a field or a capability: what follows is not said."""
        self._readers_known = True
        """Whether what is not bound is not read: not so beside a learner or a metric that takes any field."""

    # -- small things ----------------------------------------------------------------------------------------------

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

    # -- the check -------------------------------------------------------------------------------------------------

    def run(self) -> None:
        for _, spec in self.recipe.top_level():
            self._required_methods(spec)
        for spec in (self.recipe.model, self.recipe.loss, self.recipe.algorithm):
            if spec is not None:
                self._begin_asks_for(spec)
        self._facts()
        self._ends()
        setup = self._setup()
        if setup is not None:
            self._fields(setup)
        self.problems += [p for spec, _, p in self._lacking if spec.key.partition(".")[0] not in self._misfits]
        self._claims()

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

    # -- facts -----------------------------------------------------------------------------------------------------

    def _facts(self) -> None:
        data = self.recipe.data
        of_data = self._facts_of(data) if data is not None else {}
        for spec in self.recipe.specs():
            is_data = data is not None and any(spec is s for s in data.nested())
            available = HOST_FACTS if is_data else {**of_data, **HOST_FACTS}
            for param in spec.missing:
                if param.name in available:
                    self._take_fact(spec, param, available[param.name], "fit" if param.name in HOST_FACTS else "data")
                # Without data its facts cannot be told (a search takes that of its run); but they are plain values.
                elif data is not None or param.component() or isinstance(param.type, RunType):
                    self._missing(spec, param, available)

    def _facts_of(self, data: Spec) -> dict[str, Type]:
        inner = self._facts_of(data.base) if data.base is not None else {}
        return {**inner, **self.info(data).facts()}

    def _take_fact(self, spec: Spec, param: Param, fact: Type, source: str) -> None:
        if not assignable(fact, param.type):
            name = spec.component.name
            whose = f"fit.{param.name}" if source == "fit" else f"the data's fact {param.name}"
            message = f"{name} takes {param.type}, but {whose} is {fact}"
            self.report(spec, f"{spec.key}.{param.name}", message, "give the parameter in the recipe")
        self.binding.facts.append(BoundFact(spec, param.name, source))

    def _missing(self, spec: Spec, param: Param, available: dict[str, Type]) -> None:
        key = f"{spec.key}.{param.name}"
        option = spec.key == "search" and not spec.mark.line  # of `rk search NAME`, not of a recipe
        hint = f"give --{param.name.replace('_', '-')}" if option else f"give {key}"
        if (inner := param.component()) is not None and (names := [c.name for c in self.catalog.of_kind(inner.kind)]):
            hint += f", one of {', '.join(names[:6])}" + (", ..." if len(names) > 6 else "")
        other = [] if option or spec is self.recipe.data else self._data_with(param.name)
        if not option and spec is not self.recipe.data and self.recipe.data is not None:
            data = self.recipe.data.component.name
            if (close := nearest(param.name, available)) is not None:
                hint += f"; the data {data} gives {close}, not {param.name}"
            elif other:
                hint += f", or take data that gives it: {', '.join(other[:6])}"
        problem = Problem(spec.mark, key, missing(param), hint)
        if other:
            self._lacking.append((spec, param, problem))
        else:
            self.problems.append(problem)

    def _data_with(self, fact: str) -> list[str]:
        """Returns the installed data that have a fact of this name."""
        return [c.name for c in self.catalog.of_kind("data") if self._has_fact(c, fact)]

    def _has_fact(self, data: Component, fact: str) -> bool:
        try:
            return fact in self.catalog.info(data).facts()
        except UserError:  # some other plugin's mistake
            return False

    # -- how long it runs ------------------------------------------------------------------------------------------

    def _ends(self) -> None:
        spec, fit = self.recipe.algorithm, self.recipe.fit
        if spec is None or fit.max_steps or fit.max_epochs or "fit" in self.recipe.broken:
            return
        step = method(self.info(spec), "step")
        if step is not None and not step.may_return_none():
            message = f"missing: {self.who(spec)} does not end by itself"
            mark = self.recipe.marks.get("fit", self.recipe.marks[""])
            self.problems.append(Problem(mark, "fit.max_steps", message, "give fit.max_steps or fit.max_epochs"))

    # -- the trainer's signature -----------------------------------------------------------------------------------

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
        protocol = ClassInfo(asked[0].module, asked[0].node)
        lacking = missing_members(self.info(given), protocol)
        if lacking and given.base is not None and self._is_wrapper(given):
            lacking = [name for name in lacking if name in missing_members(self.info(given.base), protocol)]
        if lacking:
            names = " and ".join(f"`{n}`" for n in lacking)
            kind, has = given.component.kind, f"{given.component.name} has none"
            fits = sorted(c.name for c in self.catalog.of_kind(kind) if self._has_members(c, protocol))
            hint = f"{plural(kind)} that have: {', '.join(fits)}" if fits else f"no installed {kind} has"
            message = f"{asker.component.name} needs {ComponentType(kind=kind)} with {names}; {has}"
            self._misfits |= {given.key.partition(".")[0], asker.key.partition(".")[0]}
            self.report(given, given.key, message, hint)

    def _is_wrapper(self, spec: Spec) -> bool:
        """Whether it has the attributes of the component that it wraps."""
        return any(self.info(spec).inherits(f"rk.wrappers.{name}") for name in WRAPPERS)

    def _has_members(self, component: Component, protocol: ClassInfo) -> bool:
        try:
            return not missing_members(self.catalog.info(component), protocol)
        except UserError:  # some other plugin's mistake
            return False

    # -- fields ----------------------------------------------------------------------------------------------------

    def _fields(self, setup: Signature) -> None:
        recipe = self.recipe
        if recipe.data is None:
            return
        batch = self._declared(recipe.data, "batch")
        if batch is None:
            return
        self._provide(recipe.data, batch)
        outputs = answers = self._own_outputs(setup)
        if answers is None and "model" in setup:
            outputs, answers = self._bind_model(batch)
        elif answers is not None:
            self._provide(recipe.algorithm, answers)
            self._readers_known = False  # the learner takes whole batches: it may read any field
        self._bind_step(batch)
        if answers is not None:  # else there is a mistake already, or it cannot be told
            if "loss" in setup:
                self._bind_loss({**batch, **(outputs or {})})
            if self.recipe.algorithm.key in self._misfits:  # what it answers on this data means nothing
                self._readers_known = False
            else:
                self._bind_metrics({**batch, **answers})
            self.binding.answers = answers
            self._unread(batch)

    def _declared(self, spec: Spec, name: str) -> dict[str, Field] | None:
        found = method(self.info(spec), name)
        if found is None:
            return None
        fields = found.returns()
        if fields is None and spec.base is not None and (found.hands_on or name == "batch"):
            has_it = method(self.info(spec.base), name) is not None
            return self._declared(spec.base, name if has_it else "forward")
        if fields is None:
            message = f"{spec.component.distribution}: {self.who(spec)}: {name}() has no TypedDict as return annotation"
            self.report(spec, spec.key, message, "its author must declare the fields (docs/contract.md)")
        return fields

    def _own_outputs(self, setup: Signature) -> dict[str, Field] | None:
        """Returns the outputs of a learner that speaks for itself: one whose ``predict`` declares them."""
        ref = setup.module.definition(dotted_name(unquoted(setup.node.returns)) or "")
        if not isinstance(ref.node, ast.ClassDef):
            return None
        predict = method(ClassInfo(ref.module, ref.node), "predict")
        return predict.returns() if predict is not None else None

    def _bind_model(self, batch: dict[str, Field]) -> tuple[dict[str, Field] | None, dict[str, Field] | None]:
        """Returns what the model gives and what it answers, or None when it is not known or lacks what it needs."""
        model = self.recipe.model
        if model is None:
            return None, None
        info = self.info(model)
        forward = method(info, "forward")
        if forward is None:
            self.report(model, "model", f"{model.component.distribution}: {self.who(model)} has no forward()")
            return None, None
        fits = self._bind_all(model, ("forward",), batch, "model")
        answers = outputs = self._declared(model, "forward")
        if method(info, "predict") is not None:
            fits &= self._bind_all(model, ("predict", "forward"), batch, "model.predict")
            answers = self._declared(model, "predict")
        if outputs is None or answers is None:
            return None, None
        for name in sorted({*outputs, *answers} & batch.keys()):
            data = self.recipe.data.component.name
            self.report(model, "model", f"{self.who(model)} gives {name!r}, which is a field of {data}'s batch too")
        self._provide(model, outputs)
        self._provide(model, answers)
        return (outputs, answers) if fits else (None, None)

    def _provide(self, spec: Spec, fields: dict[str, Field]) -> None:
        for name, field_ in fields.items():
            if name not in self._bound:
                self._bound[name] = BoundField(name, field_.type, self.who(spec))
                self.binding.fields.append(self._bound[name])

    def _bind_step(self, batch: dict[str, Field]) -> None:
        """A trainer that annotates ``step``'s batch with a TypedDict says what it reads."""
        spec = self.recipe.algorithm
        step = method(self.info(spec), "step")
        if step is None or "batch" not in step:
            return
        arguments = step.node.args.args + step.node.args.kwonlyargs
        annotation = next((a.annotation for a in arguments if a.arg == "batch"), None)
        for name, wanted in (typed_dict(step.module, annotation) or {}).items():
            self._need(spec, "step", name, wanted.type, wanted.required, batch)

    def _bind_loss(self, fields: dict[str, Field]) -> None:
        loss = self.recipe.loss
        if loss is None:
            return
        self._bind_call(loss, ("__call__", "forward"), fields, "loss")

    def _bind_metrics(self, fields: dict[str, Field]) -> None:
        data = self.recipe.data
        declared = _declared_metrics(self._having(data, "metrics"))
        for name, signature in (declared or {}).items():
            if signature is None:
                self._readers_known = False
            else:
                self._bind(data, signature, fields, f"metric {name}")
        for name, spec in self.recipe.metrics.items():
            self._bind_call(spec, ("update", "__call__"), fields, f"metrics.{name}")
        if declared is None:
            self._readers_known = False
        elif "metrics" not in self.recipe.broken:
            self.binding.metrics = [*declared, *self.recipe.metrics]

    def _bind_call(self, spec: Spec, names: tuple[str, ...], fields: dict[str, Field], role: str) -> None:
        if self._signatures(spec, names):
            self._bind_all(spec, names, fields, role)
        elif not self.info(spec).opaque_bases():
            self.report(spec, spec.key, f"{spec.component.distribution}: {self.who(spec)} cannot be called")

    def _signatures(self, spec: Spec, names: tuple[str, ...]) -> list[Signature]:
        """Returns the first of these methods; and that of the component inside, where it hands fields on."""
        info = self.info(spec)
        own = next((found for name in names if (found := method(info, name)) is not None), None)
        if own is None:
            return []
        inner = self._signatures(spec.base, names) if own.hands_on and spec.base is not None else []
        return [own, *inner]

    def _bind_all(self, spec: Spec, names: tuple[str, ...], fields: dict[str, Field], role: str) -> bool:
        """Binds a method and those that it hands fields on to; returns whether all that they need is there."""
        found = self._signatures(spec, names)
        readers_known = self._readers_known
        before = len(self.problems)
        for signature in found:  # all of them: each has its own problems
            self._bind(spec, signature, fields, role)
        self._readers_known = readers_known and not found[-1].hides  # the last one hands nothing on
        return len(self.problems) == before

    def _bind(self, spec: Spec, signature: Signature, fields: dict[str, Field], role: str) -> bool:
        """Binds the parameters of one callable; returns whether all that it needs is there."""
        before = len(self.problems)
        self._readers_known &= not signature.hides
        for param in signature.params:
            self._need(spec, role, param.name, param.type, param.required, fields)
        return len(self.problems) == before

    def _need(
        self,
        spec: Spec,
        role: str,
        name: str,
        wanted: Type,
        required: bool,
        fields: dict[str, Field],
    ) -> None:
        found = fields.get(name)
        key = spec.key
        reader = self.who(spec) if role in ("model", "loss", "step") else role
        if found is None or (required and not found.required):
            if required:
                how = "provides" if found is None else "always provides"
                message = f"{reader} needs the field {name!r}, which nothing {how}"
                self._misfits.add(key.partition(".")[0])
                self.report(spec, key, message, None if found else suggest(name, sorted(fields), "fields there are"))
            elif name in USUALLY_OPTIONAL:
                self.warn(spec.mark, key, f"{reader} could use the field {name!r}, which nothing provides")
            return
        if reader not in self._bound[name].readers:
            self._bound[name].readers.append(reader)
        reason = mismatch(found.type, wanted)
        if reason is not None:
            giver = self._bound[name].provider
            self._misfits.add(key.partition(".")[0])
            self.report(spec, key, f"{reader} takes {name}: {wanted}, but {giver} gives {found.type}: {reason}")

    def _unread(self, batch: dict[str, Field]) -> None:
        for name in batch:
            if self._readers_known and not self._bound[name].readers and not name.endswith("_meta"):
                self.binding.unread.append(name)
                self.warn(self.recipe.data.mark, "data", f"the field {name!r} is read by nobody")

    # -- claims ----------------------------------------------------------------------------------------------------

    def _claims(self) -> None:
        """Checks `fit.monitor` and `expect` against the splits and metrics that are known statically."""
        data = self.recipe.data
        if data is None:
            return
        assigned = self._having(data, "splits").assigned("splits")
        found = literal(assigned[0].module, assigned[1]) if assigned is not None else None
        splits = self.binding.splits = tuple(found) if isinstance(found, list | tuple) else None
        if self.recipe.fit.monitor is not None:
            self._claim(self.recipe.fit.monitor, "fit.monitor", splits)
        for i, claim in enumerate(self.recipe.expect):
            if claim.applies:
                self._claim(claim.metric, f"expect.{i}.metric", splits)
                for bound in ("at_least_times", "at_most_times"):
                    if (multiple := getattr(claim, bound)) is not None:
                        self._claim(multiple.of, f"expect.{i}.{bound}", splits)

    def _having(self, data: Spec, name: str) -> ClassInfo:
        """Returns the class that has the member `name`: that of the data, or of what it wraps."""
        info = self.info(data)
        return info if data.base is None or name in info.members() else self._having(data.base, name)

    def _claim(self, metric: str, key: str, splits: tuple[str, ...] | None) -> None:
        problem = self._misclaim(metric, key, splits)
        if problem is not None:
            self.problems.append(Problem(self.recipe.marks[key], key, *problem))

    def _misclaim(self, metric: str, key: str, splits: tuple[str, ...] | None) -> tuple[str, str | None] | None:
        """Returns what is wrong with the name of a metric, and a hint; None where nothing is, as far as is known."""
        split, _, name = metric.partition("/")
        name = name.partition("@")[0]
        known = None
        if self.binding.metrics is not None and self.binding.answers is not None:
            known = [*self.binding.metrics, "loss"]
        if not name:
            return (
                f"{metric!r} names no split",
                f"as in val/{metric}" if key == "fit.monitor" else f"as in test/{metric}",
            )
        if split == "run" and key != "fit.monitor":
            return self._misclaimed_result(metric)
        if "*" in metric and (key == "fit.monitor" or not key.endswith(".metric") or split == "train"):
            return f"{metric!r} stands for several metrics: one must be named", None
        if splits is not None and not fnmatch.filter(splits, split):
            return f"unknown split {split!r}", suggest(split, splits, "splits")
        if key == "fit.monitor" and not split.startswith("val"):
            return f"{split!r} is not validated", "monitor a split that begins with val"
        # what a step logs is known only when it does
        if split != "train" and known is not None and not fnmatch.filter(known, name):
            return f"unknown metric {name!r}", suggest(name, known, "metrics")
        return None

    def _misclaimed_result(self, metric: str) -> tuple[str, str] | None:
        """A result is named by a component's ``results`` when the run ends; before, only that there is one is known."""
        specs = [spec for spec in (self.recipe.algorithm, *self.recipe.callbacks) if spec is not None]
        if {"search" if "search" in self.recipe.broken else "trainer", "callbacks"} & self.recipe.broken:
            return None
        if any("results" in self.info(spec).members() or self.info(spec).opaque_bases() for spec in specs):
            return None
        return f"nothing gives {metric!r}", "a result comes from a trainer, search or callback with a method results()"


def _declared_metrics(data: ClassInfo) -> dict[str, Signature | None] | None:
    """Returns the metrics in a data class's ``metrics`` and what each takes (None: it cannot be read).

    None for a property or anything else that is known only when the data is built.
    """
    assigned = data.assigned("metrics")
    if assigned is None:
        return None if "metrics" in data.members() else {}
    info, display = assigned
    if not isinstance(display, ast.Dict):
        return None
    names = [None if key is None else literal(info.module, key) for key in display.keys]
    if not all(isinstance(name, str) for name in names):
        return None
    return {name: _metric_signature(info, value) for name, value in zip(names, display.values, strict=True)}


def _metric_signature(info: ClassInfo, value: ast.expr) -> Signature | None:
    """Reads what a metric takes: a function's name, a class, or a call of one."""
    ref = info.module.definition(dotted_name(value.func if isinstance(value, ast.Call) else value) or "")
    if isinstance(ref.node, ast.FunctionDef):
        return read_function(ref.module, ref.node)
    if isinstance(ref.node, ast.ClassDef):
        found = ClassInfo(ref.module, ref.node)
        return method(found, "update") or method(found, "__call__")
    return None


def why_not(components: dict[str, Component], catalog: Catalog) -> str | None:
    """Returns the first reason why these components cannot stand in one recipe, or None: `rk list --fits`.

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
