"""Fields of batches and outputs: which component provides and which reads each."""

from __future__ import annotations

import ast

from rk.errors import suggest
from rk.recipe.findings import BoundField, Findings, Part
from rk.recipe.model import Spec
from rk.static import ClassInfo, Signature, class_of, method, read_function
from rk.static.compare import mismatch
from rk.static.fields import Field, typed_dict
from rk.static.literals import literal
from rk.static.source import Definition, dotted_name, unquoted
from rk.static.types import Type

USUALLY_OPTIONAL = ("mask", "lengths", "weights")
"""Optional fields whose absence is worth a warning: without them, padding counts as data."""


class Fields(Part):
    """Binds what the model, the loss, the metrics and the trainer read to what is provided."""

    def __init__(self, found: Findings) -> None:
        super().__init__(found)
        self._bound: dict[str, BoundField] = {}
        self._readers_known = True
        """Whether what is not bound is not read: not so beside a learner or a metric that takes any field."""

    def bind(self, setup: Signature) -> None:
        """Binds all fields; `setup` is the signature of the trainer's method."""
        recipe = self.recipe
        if recipe.data is None:
            return
        batch = self._declared(recipe.data, "batch")
        if batch is None:
            return
        self._provide(recipe.data, batch)
        outputs = answers = self._own_outputs(setup)
        if answers is None and "model" in setup:
            outputs, answers = self._bind_model(recipe.data, batch)
        elif answers is not None:
            self._provide(recipe.learning, answers)
            self._readers_known = False  # the learner takes whole batches: it may read any field
        self._bind_step(batch)
        if answers is not None:  # else there is a mistake already, or it is not known
            if "loss" in setup:
                self._bind_loss({**batch, **(outputs or {})})
            if self.recipe.learning.key in self.misfits:  # what it answers on this data means nothing
                self._readers_known = False
            else:
                self._bind_metrics(recipe.data, {**batch, **answers})
            self.binding.answers = answers
            self._unread(recipe.data, batch)

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
        """Returns the outputs that a learner's ``predict`` declares itself."""
        learner = class_of(setup.module.definition(dotted_name(unquoted(setup.annotation)) or ""))
        if learner is None:
            return None
        predict = method(learner, "predict")
        return predict.returns() if predict is not None else None

    def _bind_model(
        self, data: Spec, batch: dict[str, Field]
    ) -> tuple[dict[str, Field] | None, dict[str, Field] | None]:
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
            whose = f"which is a field of {data.component.name}'s batch too"
            self.report(model, "model", f"{self.who(model)} gives {name!r}, {whose}")
        self._provide(model, outputs)
        self._provide(model, answers)
        return (outputs, answers) if fits else (None, None)

    def _provide(self, spec: Spec, fields: dict[str, Field]) -> None:
        for name, field_ in fields.items():
            if name not in self._bound:
                self._bound[name] = BoundField(name, field_.type, self.who(spec))
                self.binding.fields.append(self._bound[name])

    def _bind_step(self, batch: dict[str, Field]) -> None:
        """A trainer that annotates ``step``'s batch with a TypedDict declares what it reads."""
        spec = self.recipe.learning
        step = method(self.info(spec), "step")
        if step is None or step.function is None or "batch" not in step:
            return
        arguments = step.function.args.args + step.function.args.kwonlyargs
        annotation = next((a.annotation for a in arguments if a.arg == "batch"), None)
        for name, wanted in (typed_dict(step.module, annotation) or {}).items():
            self._need(spec, "step", name, wanted.type, wanted.required, batch)

    def _bind_loss(self, fields: dict[str, Field]) -> None:
        loss = self.recipe.loss
        if loss is None:
            return
        self._bind_call(loss, ("__call__", "forward"), fields, "loss")

    def _bind_metrics(self, data: Spec, fields: dict[str, Field]) -> None:
        declared = _declared_metrics(self.having(data, "metrics"))
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
                self.misfits.add(key.partition(".")[0])
                self.report(spec, key, message, None if found else suggest(name, sorted(fields), "fields there are"))
            elif name in USUALLY_OPTIONAL and not role.startswith("metrics."):  # those serve data of every kind
                self.warn(spec.mark, key, f"{reader} could use the field {name!r}, which nothing provides")
            return
        if reader not in self._bound[name].readers:
            self._bound[name].readers.append(reader)
        reason = mismatch(found.type, wanted)
        if reason is not None:
            giver = self._bound[name].provider
            self.misfits.add(key.partition(".")[0])
            self.report(spec, key, f"{reader} takes {name}: {wanted}, but {giver} gives {found.type}: {reason}")

    def _unread(self, data: Spec, batch: dict[str, Field]) -> None:
        for name in batch:
            if self._readers_known and not self._bound[name].readers and not name.endswith("_meta"):
                self.binding.unread.append(name)
                self.warn(data.mark, "data", f"nothing reads the field {name!r}")


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
    names: list[str | None] = [None if key is None else literal(info.module, key) for key in display.keys]
    if not all(isinstance(name, str) for name in names):
        return None
    return {str(name): _metric_signature(info, value) for name, value in zip(names, display.values, strict=True)}


def _metric_signature(info: ClassInfo, value: ast.expr) -> Signature | None:
    """Reads what a metric takes: a function's name, a class, or a call of one."""
    ref = info.module.definition(dotted_name(value.func if isinstance(value, ast.Call) else value) or "")
    if isinstance(ref, Definition) and isinstance(ref.node, ast.FunctionDef):
        return read_function(ref.module, ref.node)
    if (found := class_of(ref)) is not None:
        return method(found, "update") or method(found, "__call__")
    return None
