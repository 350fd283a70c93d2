"""From a checked recipe to live objects."""

from __future__ import annotations

import functools
import importlib
import inspect
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rk.catalog import Catalog
from rk.errors import Mark, Problem, RecipeError, RunFailed, UserError
from rk.fit.archive import read_archive
from rk.fit.returns import check_learner
from rk.fit.rng import forked, seed_all
from rk.fit.runtime import Runtime
from rk.lacking import lacking
from rk.recipe.model import EnumRef, Recipe, RunRef, Spec, Struct
from rk.writing import write_atomic


@dataclass
class Parts:
    """The live objects of a recipe."""

    data: Any
    trainer: Any
    learner: nn.Module
    runtime: Runtime
    facts: dict[str, Any]
    callbacks: list[Any] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    model: Any = None
    loss: Any = None


class Builder:
    """Builds components.

    Args:
        recipe: Checked, and without problems.
        catalog: Where its components come from.
        facts: Facts of a stored run; None asks the data.
        training: Whether the run is to be trained; else parameters that only training needs are None.
    """

    def __init__(
        self, recipe: Recipe, catalog: Catalog, facts: dict[str, Any] | None = None, *, training: bool = True
    ) -> None:
        self.recipe = recipe
        self.catalog = catalog
        self.training = training
        self.stored = facts
        self.facts: dict[str, Any] = {} if facts is None else dict(facts)
        self.facts["seed"] = recipe.fit.seed
        self.runs: list[Any] = []

    def data(self) -> Any:
        """Builds the data, unprepared; None when the recipe has none."""
        return None if self.recipe.data is None else self.build(self.recipe.data)

    def learn_facts(self, data: Any) -> None:
        """Reads the facts that the recipe's components need from the prepared data."""
        for spec in self.recipe.specs():
            for param in spec.missing:
                if param.name not in self.facts and spec is not self.recipe.data:
                    self.facts[param.name] = _fact(data, param.name, self.recipe.data)

    def parts(self, data: Any, runtime: Runtime) -> Parts:
        """Builds everything but the data, with the generators seeded by `fit.seed`."""
        seed_all(self.recipe.fit.seed)
        recipe = self.recipe
        offered = {"data": data, "runtime": runtime}
        for key in ("model", "loss"):
            spec = getattr(recipe, key)
            offered[key] = None if spec is None else self.build(spec)
        trainer = self.build(recipe.algorithm)
        metrics = {name: self.build(spec) for name, spec in recipe.metrics.items()}
        callbacks = [self.build(spec) for spec in recipe.callbacks] if runtime.training else []
        if data is None and self.runs:  # a search uses the data of its run
            offered["data"] = data = self.runs[0].data
            if runtime.training:
                self.runs[0].prepare()
        learner = self._setup(trainer, offered)
        learner.to(runtime.device)
        model, loss = offered["model"], offered["loss"]
        return Parts(data, trainer, learner, runtime, self.facts, callbacks, metrics, model, loss)

    def _setup(self, trainer: Any, offered: dict[str, Any]) -> nn.Module:
        wanted = inspect.signature(trainer.setup).parameters
        given = {k: v for k, v in offered.items() if k in wanted and (v is not None or _is_required(wanted[k]))}
        spec = self.recipe.algorithm
        learner = self._guard(spec, lambda: trainer.setup(**given), "setup()")
        return check_learner(trainer, learner)

    def build(self, spec: Spec) -> Any:
        """Builds a component, or a factory of it, with its parameters and facts."""
        cls = self.catalog.load(spec.component)
        unused = frozenset() if self.training else spec.training
        values = {k: None if k in unused else self._value(v) for k, v in spec.params.items()}
        for param in spec.missing:
            if param.name in self.facts:
                values[param.name] = _converted(self.facts[param.name])
        if spec.supplied is not None:
            return functools.partial(cls, **values)
        return self._guard(spec, lambda: cls(**values), "constructor")

    def _value(self, value: Any) -> Any:
        match value:
            case Spec():
                return self.build(value)
            case EnumRef(target=target, member=member):
                return _imported(target)[member]
            case Struct(target=target, values=values):
                return _imported(target)(**{k: self._value(v) for k, v in values.items()})
            case RunRef(folder=None, wanted=wanted):
                raise UserError(
                    f"the run of {wanted.name} that this run began from is gone: it was kept in its folder",
                    "put the folder from/ back, or train again",
                )
            case RunRef(folder=folder):
                from rk.fit.loaded import LoadedRun

                with forked(self.recipe.fit.seed):  # loading it seeds the generators for its own weights
                    run = LoadedRun.open(folder, self.catalog)
                self.runs.append(run)
                return run
            case list():
                return [self._value(v) for v in value]
            case tuple():
                return tuple(self._value(v) for v in value)
            case dict():
                return {k: self._value(v) for k, v in value.items()}
        return value

    def _guard(self, spec: Spec, make: Any, what: str) -> Any:
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
            raise lacking(f"{c.distribution}: {c.kind} {c.name}", c.offer, error, what) from error


def _imported(target: str) -> Any:
    """Returns the object ``package.module:name``."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def _is_required(parameter: inspect.Parameter) -> bool:
    return parameter.default is inspect.Parameter.empty


def _fact(data: Any, name: str, spec: Spec | None) -> Any:
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


def _converted(value: Any) -> Any:
    """Facts come back from JSON with lists in place of tuples: sizes are tuples everywhere else."""
    return tuple(value) if isinstance(value, list) else value


def prepare(data: Any, spec: Spec | None) -> None:
    """Lets the data do its I/O, if it has any."""
    if hasattr(data, "prepare"):
        try:
            data.prepare()
        except ValueError as error:
            mark, key = (spec.mark, spec.key) if spec else (Mark("recipe"), "data")
            raise RecipeError([Problem(mark, key, str(error))]) from error


def save_data_state(data: Any, path: Path) -> None:
    """Keeps what `prepare` fitted, if anything, so that the run answers without the raw data."""
    state = data.state_dict() if hasattr(data, "state_dict") else {}
    if state:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomic(path, buffer.getvalue())


def load_data_state(data: Any, path: Path) -> None:
    """Gives the data what `save_data_state` kept."""
    if path.exists():
        try:
            data.load_state_dict(read_archive(path))
        except Exception as error:
            raise UserError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from None
