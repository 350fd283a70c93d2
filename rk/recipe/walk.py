"""The values of a recipe's components, one by one: seen, or replaced in a copy."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

from rk.recipe.model import Recipe, RunRef, Spec, Struct
from rk.values import Value

INITIAL = "init_from.run"
"""The key of the weights that a new run begins with."""
SECTIONS = ("data", "model", "loss", "trainer", "search")


def leaves(recipe: Recipe) -> Iterator[tuple[str, Value]]:
    """Yields (key, value) of every value that holds no other: ``trainer.teacher``, ``model.hidden_sizes.0``."""
    for spec in recipe.specs():
        for name, value in spec.params.items():
            yield from _within(value, f"{spec.key}.{name}")
    if recipe.init_from is not None:
        yield INITIAL, recipe.init_from.run


def _within(value: Value, key: str) -> Iterator[tuple[str, Value]]:
    match value:
        case Spec():
            return  # it comes by itself
        case Struct(values=values):
            yield from _within(values, key)
        case dict():
            for k, v in value.items():
                yield from _within(v, f"{key}.{k}")
        case list() | tuple():
            for i, v in enumerate(value):
                yield from _within(v, f"{key}.{i}")
        case _:
            yield key, value


def named_runs(recipe: Recipe) -> Iterator[tuple[str, RunRef]]:
    """Yields (key, run) of every run that the recipe names: ``trainer.teacher``."""
    yield from ((key, value) for key, value in leaves(recipe) if isinstance(value, RunRef))


def runs_that_answer(recipe: Recipe) -> Iterator[tuple[str, Path]]:
    """Yields (key, folder) of every run that a trained run needs to answer: not of those that only training needs."""
    training = {f"{spec.key}.{name}" for spec in recipe.specs() for name in spec.training} | {INITIAL}
    for key, ref in named_runs(recipe):
        if ref.folder is not None and not any(key == name or key.startswith(f"{name}.") for name in training):
            yield key, ref.folder


def replaced(
    recipe: Recipe, change: Callable[[str, Value], Value], key_of: Callable[[Value], Value] = lambda k: k
) -> Recipe:
    """Returns a copy of `recipe` with other values.

    Args:
        recipe: A checked recipe, which stays as it is.
        change: Takes the key and the value of a leaf (see `leaves`), or of a default; returns its replacement.
        key_of: Takes a key of a mapping among the values; returns its replacement.
    """

    def value(found: Value, key: str) -> Value:
        match found:
            case Spec():
                return spec(found)
            case Struct(target=target, values=values):
                return Struct(target, value(values, key))
            case dict():
                return {key_of(k): value(v, f"{key}.{k}") for k, v in found.items()}
            case list() | tuple():
                return type(found)(value(v, f"{key}.{i}") for i, v in enumerate(found))
        return change(key, found)

    def spec(found: Spec) -> Spec:
        made = copy.copy(found)
        made.params = {k: value(v, f"{found.key}.{k}") for k, v in found.params.items()}
        made.defaults = {k: value(v, f"{found.key}.{k}") for k, v in found.defaults.items()}
        return made

    result = copy.copy(recipe)
    for section in SECTIONS:
        if (found := getattr(recipe, section)) is not None:
            setattr(result, section, spec(found))
    result.callbacks = [spec(s) for s in recipe.callbacks]
    result.metrics = {k: spec(s) for k, s in recipe.metrics.items()}
    if recipe.init_from is not None:
        result.init_from = copy.copy(recipe.init_from)
        result.init_from.run = change(INITIAL, recipe.init_from.run)
    return result
