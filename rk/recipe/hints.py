"""Hints for unknown keys and values: what the user probably meant."""

from __future__ import annotations

from collections.abc import Iterator

from rk.catalog import Catalog
from rk.errors import suggest
from rk.kinds import COMPONENT_KEYS
from rk.recipe.model import Recipe
from rk.recipe.sections import ALL_KEYS
from rk.static import Param, Signature, constructor, load_class
from rk.static.types import ListType, TupleType

OTHER_WORDS = {
    "algorithm": "trainer",
    "amp": "precision",
    "batch": "batch_size",
    "batchsize": "batch_size",
    "clip": "gradient_clip",
    "criterion": "loss",
    "dataset": "data",
    "dtype": "precision",
    "epochs": "max_epochs",
    "eval_every": "validate_every",
    "grad_accum": "accumulate",
    "grad_clip": "gradient_clip",
    "iterations": "max_steps",
    "learning_rate": "lr",
    "mixed_precision": "precision",
    "n_epochs": "max_epochs",
    "n_steps": "max_steps",
    "network": "model",
    "num_epochs": "max_epochs",
    "num_steps": "max_steps",
    "num_workers": "workers",
    "objective": "loss",
    "optim": "optimizer",
    "random_seed": "seed",
    "scheduler": "schedule",
    "steps": "max_steps",
    "training": "fit",
    "val_every": "validate_every",
}
"""A key in other programs -> its name in rk."""

DEVICE_HINT = "fit.accelerator is the device (auto, cpu or cuda), fit.devices is how many there are"
DEVICE_WORDS = ("device", "gpu", "gpus", "cuda", "num_gpus", "n_gpus")

VALUE_WORDS = {
    "gpu": "cuda",
    "nvidia": "cuda",
    "bf16": "bf16-mixed",
    "bfloat16": "bf16-mixed",
    "fp32": "32-true",
    "float32": "32-true",
    "32": "32-true",
    "maximize": "max",
    "maximise": "max",
    "minimize": "min",
    "minimise": "min",
}
"""A value in other programs -> its name in rk."""

_TOP = ("model", "data", "loss", "trainer", "fit", "callbacks", "metrics", "expect", "search", "extends")
RECIPE_KEYS = (*_TOP, *(key for key in ALL_KEYS if key not in _TOP))
"""The keys of a recipe, those that nearly every recipe has first."""


def missing(param: Param) -> str:
    """Returns the message for a missing required parameter: its name and its type."""
    return f"missing: {param.name} ({param.type})"


def unknown_key_hint(name: str, own: list[str], noun: str, places: list[str], in_fit: bool) -> str | None:
    """Returns the hint for the unknown key `name`.

    Args:
        name: As the user wrote it.
        own: The keys that are accepted there.
        noun: What introduces them.
        places: Where else in the recipe this key belongs (`places_of`).
        in_fit: Whether it is at the top of the recipe or in `fit`.
    """
    if in_fit and name.lower() in DEVICE_WORDS:
        return DEVICE_HINT
    if places:
        return f"did you mean {' or '.join(places[:3])}?"
    meant = OTHER_WORDS.get(name.lower())
    return f"did you mean {meant}?" if meant in own else suggest(name, own, noun)


def places_of(name: str, recipe: Recipe, catalog: Catalog) -> list[str]:
    """Returns the whole keys, ``trainer.optimizer.lr``, at which the recipe accepts a parameter called `name`."""
    wanted = {name, OTHER_WORDS.get(name.lower(), name)}
    return list(dict.fromkeys(key for key, last in _keys(recipe, catalog) if last in wanted))


def _keys(recipe: Recipe, catalog: Catalog) -> Iterator[tuple[str, str]]:
    """Yields the whole key and the last part of it for all that the recipe accepts."""
    yield from ((key, key) for key in COMPONENT_KEYS)
    yield "fit", "fit"
    yield from ((f"fit.{p.name}", p.name) for p in constructor(load_class("rk.recipe.sections:Fit")).params)
    signatures = [(spec.key, catalog.signature(spec.component)) for spec in recipe.specs()]
    if recipe.algorithm is None and (usual := _usual_trainer(catalog)) is not None:
        signatures.append(("trainer", usual))
    for key, signature in signatures:
        yield from ((f"{key}.{p.name}", p.name) for p in signature.params)
    given = {key for key, _ in signatures}
    for key, signature in signatures:
        for param in signature.params:
            inner = param.component()
            if inner is not None and f"{key}.{param.name}" not in given:
                yield from ((f"{key}.{param.name}.{name}", name) for name in _parameters(inner.kind, catalog))


def _usual_trainer(catalog: Catalog) -> Signature | None:
    """Returns what `backprop` takes: for a recipe that has no trainer, or a misspelt one."""
    found = next((c for c in catalog.of_kind("trainer") if c.qualified == "rk/backprop"), None)
    return None if found is None else catalog.signature(found)


def _parameters(kind: str, catalog: Catalog) -> list[str]:
    """Returns the parameters of the built-in components of `kind`."""
    built_in = [c for c in catalog.of_kind(kind) if c.plugin == "rk"]
    return list(dict.fromkeys(p.name for c in built_in for p in catalog.signature(c).params))


def sequence_hint(written: str | None, type_: ListType | TupleType, key: str, on_line: bool) -> str:
    """Returns how a list is written where a single value was given.

    Args:
        written: The value, as the user wrote it; None where it is not a plain value.
        type_: The type of the list.
        key: The whole key.
        on_line: Whether it is from the command line, not from a file.
    """
    one = "..." if written is None else written
    several = len(type_.items) if isinstance(type_, TupleType) and not type_.variadic else 1
    value = f"[{', '.join([one] * several)}]"
    return f"write {key}={value.replace(' ', '')}" if on_line else f"{key.rpartition('.')[2]}: {value}"
