"""A run made from another one: its weights cut, merged or baked, under a recipe that fits them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from rk.catalog import Catalog
from rk.environment import describe
from rk.errors import RunFailed, UserError
from rk.fit.build import Builder, OpenRun, save_data_state
from rk.fit.checkpoint import all_finite
from rk.fit.rng import forked
from rk.fit.runtime import Runtime
from rk.fit.weights import load_weights, save_weights
from rk.recipe import Recipe, check_recipe
from rk.recipe.find import RecipeFile
from rk.recipe.walk import named_runs
from rk.runs import RunFolder
from rk.runs.kept import keep
from rk.values import Facts, Part, Plain
from rk.writing import write_atomic


class Origin(Protocol):
    """The run that another one is made from: `rk.fit.loaded.LoadedRun`."""

    folder: RunFolder
    catalog: Catalog
    recipe: Recipe
    data: Part
    facts: Facts
    device: torch.device


def derive(
    run: Origin,
    changes: Mapping[str, Plain],
    weights: nn.Module | Mapping[str, Tensor] | Callable[[nn.Module], Mapping[str, Tensor]],
    out: Path,
    open_run: OpenRun,
) -> RunFolder:
    """Writes a run folder with other weights and the changes of the recipe that they need; see `LoadedRun.derive`."""
    folder = RunFolder(Path(out))
    if folder.path.exists() and (not folder.path.is_dir() or any(folder.path.iterdir())):
        raise UserError(f"{folder.path} exists already: a derived run is written into a new folder")
    recipe = _changed(run, changes)
    learner = _rebuilt(run, recipe, open_run)
    if isinstance(weights, nn.Module):
        weights = weights.state_dict()
    elif callable(weights):
        weights = weights(learner)
    load_weights(learner, weights)
    if not all_finite(learner):
        raise RunFailed(f"the weights for {folder.path} are not finite: its answers would be NaN")
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {folder.path}: {error.strerror}") from None
    for key, ref in named_runs(recipe):
        if ref.folder is not None:
            ref.said = str(keep(ref.folder, folder, key))
    write_atomic(folder.recipe, recipe.to_yaml())
    save_weights(learner, folder.model, {"format": "rk 1", "recipe": recipe.name})
    if run.data is not None:
        save_data_state(run.data, folder.data_state)
    info = run.folder.read()
    folder.update(
        name=recipe.name,
        status="done",
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        derived_from=run.folder.label,
        changes=dict(changes),
        facts=info.get("facts"),
        step=info.get("step"),
        parameters=sum(p.numel() for p in learner.parameters()),
        higher_is_better=info.get("higher_is_better"),
        metrics={},
        **describe({spec.component.distribution for spec in recipe.specs()}),
    )
    return folder


def _changed(run: Origin, changes: Mapping[str, Plain]) -> Recipe:
    """Returns the run's recipe with other values. Raises `RecipeError` when it does not check."""
    overrides = tuple(f"{key}={json.dumps(value, default=str)}" for key, value in changes.items())
    file = RecipeFile(run.folder.recipe)
    recipe = check_recipe(file, overrides, run.catalog, run_finder=Path, stored=True).valid()
    recipe.name, recipe.expect = run.recipe.name, []  # what was claimed of the run is not claimed of this one
    return recipe


def _rebuilt(run: Origin, recipe: Recipe, open_run: OpenRun) -> nn.Module:
    """Returns the learner of the changed recipe, as a loaded run would build it."""
    facts = {name: value for name, value in run.facts.items() if name != "seed"}
    builder = Builder(recipe, run.catalog, open_run, facts, training=False)
    lacking = [f"{s.key}.{p.name}" for s in recipe.specs() for p in s.missing if p.name not in builder.facts]
    if lacking:
        raise RunFailed(f"the changed recipe needs {', '.join(lacking)}, which the run does not know")
    with forked(recipe.fit.seed):
        return builder.parts(run.data, Runtime(run.device, training=False, folder=run.folder.path)).learner
