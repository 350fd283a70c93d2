"""From a checked recipe to live objects."""

from __future__ import annotations

import functools
import importlib
import inspect
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from rk.capabilities import (
    Algorithm,
    HasBatches,
    SupportsLoadStateDict,
    SupportsPrepare,
    SupportsStateDict,
    supports,
)
from rk.catalog import Catalog
from rk.errors import Mark, Problem, RecipeError, RunFailed, UserError
from rk.fit.archive import read_archive
from rk.fit.freezing import Freezing, mark_weights
from rk.fit.returns import check_learner, wrong
from rk.fit.rng import forked, seed_all
from rk.fit.runtime import Runtime
from rk.lacking import lacking
from rk.recipe.model import EnumRef, Recipe, RunRef, Spec, Struct
from rk.values import Facts, Part, Plain, Value
from rk.writing import write_atomic


class OpenedRun(Protocol):
    """A run that a parameter of a component takes."""

    @property
    def data(self) -> HasBatches | None: ...

    def prepare(self) -> None: ...


OpenRun = Callable[[Path, Catalog], OpenedRun]
"""Opens the run in a folder: `rk.fit.loaded.LoadedRun.open`."""


@dataclass
class Parts:
    """The live objects of a recipe."""

    data: HasBatches | None
    trainer: Algorithm
    learner: nn.Module
    runtime: Runtime
    facts: Facts
    callbacks: list[Part] = field(default_factory=list)
    metrics: dict[str, Part] = field(default_factory=dict)
    model: Part | None = None
    loss: Part | None = None
    freezing: Freezing | None = None

    @property
    def task(self) -> HasBatches:
        """The data of a recipe that needs some. Raises `UserError` where it has none."""
        if self.data is None:
            raise UserError("the recipe has no data", "give it data: data=NAME")
        return self.data

    def all_metrics(self) -> dict[str, Part]:
        """Returns the metrics of the data and those that the recipe adds."""
        own = getattr(self.data, "metrics", None) or {}
        if not isinstance(own, Mapping):
            wrong(self.data, "metrics", own, "a dict of names to metrics")
        return {**own, **self.metrics}


class Builder:
    """Builds components.

    Args:
        recipe: Checked, and without problems.
        catalog: Where its components come from.
        open_run: Opens the runs that its parameters take.
        facts: Facts of a stored run; None asks the data.
        training: Whether the run is to be trained; else parameters that only training needs are None.
    """

    def __init__(
        self,
        recipe: Recipe,
        catalog: Catalog,
        open_run: OpenRun,
        facts: Facts | None = None,
        *,
        training: bool = True,
    ) -> None:
        self.recipe = recipe
        self.catalog = catalog
        self.open_run = open_run
        self.training = training
        self.facts: Facts = {} if facts is None else dict(facts)
        self.facts["seed"] = recipe.fit.seed
        self.runs: list[OpenedRun] = []

    def data(self) -> HasBatches | None:
        """Builds the data, unprepared; None when the recipe has none."""
        return None if self.recipe.data is None else self.build(self.recipe.data)

    def learn_facts(self, data: HasBatches) -> None:
        """Reads the facts that the recipe's components need from the prepared data."""
        for spec in self.recipe.specs():
            for param in spec.missing:
                if param.name not in self.facts and spec is not self.recipe.data:
                    self.facts[param.name] = _fact(data, param.name, self.recipe.data)

    def parts(self, data: HasBatches | None, runtime: Runtime) -> Parts:
        """Builds everything but the data, with the generators seeded by `fit.seed`."""
        seed_all(self.recipe.fit.seed)
        recipe = self.recipe
        model = None if recipe.model is None else self.build(recipe.model)
        loss = None if recipe.loss is None else self.build(recipe.loss)
        trainer = self.build(recipe.learning)
        metrics = {name: self.build(spec) for name, spec in recipe.metrics.items()}
        callbacks = [self.build(spec) for spec in recipe.callbacks] if runtime.training else []
        if data is None and self.runs:  # a search uses the data of its run
            data = self.runs[0].data
            if runtime.training:
                self.runs[0].prepare()
        freezing = mark_weights(recipe, model, loss) if runtime.training else None
        learner = self._setup(trainer, {"data": data, "runtime": runtime, "model": model, "loss": loss})
        learner.to(runtime.device)
        if freezing is not None:
            freezing.set_up(learner)
        return Parts(data, trainer, learner, runtime, self.facts, callbacks, metrics, model, loss, freezing)

    def _setup(self, trainer: Algorithm, offered: Mapping[str, object]) -> nn.Module:
        wanted = inspect.signature(trainer.setup).parameters
        given = {k: v for k, v in offered.items() if k in wanted and (v is not None or _is_required(wanted[k]))}
        spec = self.recipe.learning
        learner = self._guard(spec, lambda: trainer.setup(**given), "setup()")
        return check_learner(trainer, learner)

    def build(self, spec: Spec) -> Part:
        """Builds a component, or a factory of it, with its parameters and facts."""
        cls: Part = self.catalog.load(spec.component)
        unused = frozenset() if self.training else spec.training
        values = {k: None if k in unused else self._value(v) for k, v in spec.params.items()}
        for param in spec.missing:
            if param.name in self.facts:
                values[param.name] = _converted(self.facts[param.name])
        if spec.supplied is not None:
            return functools.partial(cls, **values)
        return self._guard(spec, lambda: cls(**values), "constructor")

    def _value(self, value: Value) -> Value:
        match value:
            case Spec():
                return self.build(value)
            case EnumRef(target=target, member=member):
                return _imported(target)[member]
            case Struct(target=target, values=values):
                return _imported(target)(**{k: self._value(v) for k, v in values.items()})
            case RunRef(folder=None):
                raise value.gone()
            case RunRef(folder=Path() as folder):
                with forked(self.recipe.fit.seed):  # loading it seeds the generators for its own weights
                    run = self.open_run(folder, self.catalog)
                self.runs.append(run)
                return run
            case list():
                return [self._value(v) for v in value]
            case tuple():
                return tuple(self._value(v) for v in value)
            case dict():
                return {k: self._value(v) for k, v in value.items()}
        return value

    def _guard(self, spec: Spec, make: Callable[[], Part], what: str) -> Part:
        """A ValueError of a component means that its parameters do not fit each other: the recipe's mistake.

        So is a `UserError` of ``setup``, which sees the parameters beside the model: a pattern that matches no weight.
        """
        try:
            return make()
        except ValueError as error:
            raise RecipeError([Problem(spec.mark, spec.key, f"{spec.component.name}: {error}")]) from error
        except UserError as error:
            if what != "setup()" or isinstance(error, RecipeError):
                raise
            problem = Problem(spec.mark, spec.key, f"{spec.component.name}: {error.message}", error.hint)
            raise RecipeError([problem]) from error
        except ImportError as error:
            c = spec.component
            raise lacking(f"{c.distribution}: {c.kind} {c.name}", c.entry, error, what) from error


def _imported(target: str) -> Value:
    """Returns the object ``package.module:name``."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def _is_required(parameter: inspect.Parameter) -> bool:
    return parameter.default is inspect.Parameter.empty


def _fact(data: HasBatches, name: str, spec: Spec | None) -> Plain:
    owner = f"{spec.component.distribution}: data {spec.component.name}" if spec else "the data"
    try:
        value = getattr(data, name)
    except AttributeError as error:
        raise RunFailed(f"{owner}: its fact {name} is not there after prepare(): {error}") from None
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        raise RunFailed(f"{owner}: its fact {name} is not finite; facts are plain values") from None
    except TypeError:
        raise RunFailed(f"{owner}: its fact {name} is {type(value).__name__}; facts are plain values") from None
    return value


def _converted(value: Plain) -> Plain:
    """Facts come back from JSON with lists in place of tuples: sizes are tuples everywhere else."""
    return tuple(value) if isinstance(value, list) else value


def prepare(data: HasBatches | None, spec: Spec | None) -> None:
    """Lets the data do its I/O, if it has any."""
    if supports(data, SupportsPrepare):
        try:
            data.prepare()
        except ValueError as error:
            mark, key = (spec.mark, spec.key) if spec else (Mark("recipe"), "data")
            raise RecipeError([Problem(mark, key, str(error))]) from error


def save_data_state(data: HasBatches, path: Path) -> None:
    """Keeps what `prepare` fitted, if anything, so that the run answers without the raw data."""
    state = data.state_dict() if supports(data, SupportsStateDict) else {}
    if state:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomic(path, buffer.getvalue())


def load_data_state(data: HasBatches, path: Path) -> None:
    """Gives the data what `save_data_state` kept."""
    if path.exists():
        try:
            if not supports(data, SupportsLoadStateDict):
                raise RunFailed(f"{type(data).__name__} has state_dict, and no load_state_dict")
            data.load_state_dict(read_archive(path))
        except Exception as error:
            raise UserError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from None
