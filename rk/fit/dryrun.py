"""`rk train --dry-run`: everything built, one real step taken, nothing kept."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from rk.catalog import Catalog
from rk.errors import RunFailed
from rk.fit.evaluate import evaluating, has_objective
from rk.fit.firstbatch import check_fields
from rk.fit.loop import Loop
from rk.recipe.model import Recipe
from rk.runs import RunFolder


def dry_run(recipe: Recipe, catalog: Catalog) -> Iterator[str]:
    """Builds `recipe`, takes one step and answers one batch; yields what there is to say.

    Raises:
        RkError: For whatever would have stopped the run.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = RunFolder(Path(scratch))
        loop = Loop(recipe, catalog, folder)
        loop.build()
        parts = loop.parts
        yield f"{sum(p.numel() for p in parts.learner.parameters()):,} parameters on {parts.runtime.device}"
        if loop.takes_batch:
            batch = parts.data.batch("train", 0)
            for name, value in batch.items():
                yield f"batch    {name}: {_shape(value)}"
        scalars = _one_step(loop)
        yield "one step " + ("had nothing to learn" if scalars is None else _numbers(scalars))
        split = next((s for s in loop.splits if s.startswith(("val", "test"))), None)
        if split is not None and recipe.data is not None and has_objective(parts.learner):
            with evaluating(parts.learner, recipe.fit.seed):
                outputs = parts.learner.predict(parts.data.batch(split, 0))
            model = recipe.model
            if model is not None:
                answers = getattr(catalog.load(model.component), "predict", catalog.load(model.component).forward)
                check_fields(outputs, answers, model, "its outputs")
            for name, value in outputs.items():
                yield f"answers  {name}: {_shape(value)}"


def _one_step(loop: Loop) -> dict[str, Tensor] | None:
    trainer = loop.parts.trainer
    runtime = loop.parts.runtime
    scalars = None
    for runtime.micro_batch in range(runtime.accumulate):
        scalars = trainer.step(loop.parts.data.batch("train", runtime.micro_batch)) if loop.takes_batch else trainer.step()
        if scalars is not None and not isinstance(scalars, dict):
            spec = loop.recipe.algorithm
            raise RunFailed(f"{spec.component.distribution}: {spec.component.name}: step() returned no dict")
    return scalars


def _shape(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    return type(value).__name__


def _numbers(scalars: dict[str, Tensor]) -> str:
    return "  ".join(f"{name} {float(value):.4g}" for name, value in scalars.items())
