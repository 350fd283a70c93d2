"""`rk train --dry-run`: everything built, one real step taken, nothing kept."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from rk.catalog import Catalog
from rk.fit.begin import begin, only_finished, taken_up
from rk.fit.evaluate import evaluating, has_objective, predicted
from rk.fit.firstbatch import check_fields, declared_fields, method_of
from rk.fit.loop import Loop
from rk.fit.returns import check_batch, check_outputs, check_step
from rk.fit.smallbatch import small_batches_explained
from rk.fit.stream import to_device
from rk.protocols import Scalars
from rk.recipe.model import Recipe


def dry_run(recipe: Recipe, catalog: Catalog, root: Path) -> Iterator[str]:
    """Builds `recipe`, takes one step and answers one batch; yields lines for the user.

    Args:
        recipe: What would be run.
        catalog: The installed components.
        root: The folder of all runs, in which runs that the recipe begins from are looked for.

    Raises:
        RkError: For whatever would have stopped the run.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = begin(recipe, Path(scratch), only_finished(root))
        loop = Loop(taken_up(recipe, folder), catalog, folder)
        loop.build()
        yield from loop.begin()
        parts = loop.parts
        yield f"{sum(p.numel() for p in parts.learner.parameters()):,} parameters on {parts.runtime.device}"
        if loop.takes_batch:
            batch = check_batch(parts.data, parts.task.batch("train", 0))
            for name, value in batch.items():
                yield f"batch    {name}: {_shape(value)}"
        with small_batches_explained(recipe.data):
            scalars = _one_step(loop)
        yield "one step " + ("had nothing to learn" if scalars is None else _numbers(scalars))
        split = next((s for s in loop.splits if s.startswith(("val", "test"))), None)
        if split is not None and has_objective(parts.learner):  # one without may need to finish before it answers
            with evaluating(parts.learner, recipe.fit.seed):
                outputs = predicted(parts.learner, to_device(parts.task.batch(split, 0), parts.runtime.device))
            check_outputs(parts.learner, outputs)
            answers = method_of(parts.learner, "predict")
            check_fields(outputs, answers, recipe.learning, "its answers")
            if recipe.model is not None and declared_fields(answers) is None:
                cls = catalog.load(recipe.model.component)
                check_fields(outputs, getattr(cls, "predict", cls.forward), recipe.model, "its outputs")
            for name, value in outputs.items():
                yield f"answers  {name}: {_shape(value)}"


def _one_step(loop: Loop) -> Scalars | None:
    trainer, runtime = loop.parts.trainer, loop.parts.runtime
    scalars, micro_batches = None, runtime.micro_batches()
    for runtime.micro_batch in micro_batches:
        batch = ("train", runtime.micro_batch)
        taken = (to_device(loop.parts.task.batch(*batch), runtime.device),) if loop.takes_batch else ()
        scalars = trainer.step(*taken)
        check_step(trainer, scalars)
    return scalars


def _shape(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    return type(value).__name__


def _numbers(scalars: Scalars) -> str:
    return "  ".join(f"{name} {float(value):.4g}" for name, value in scalars.items())
