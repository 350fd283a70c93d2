"""Targets that are not a class. A GPU stops at one, some steps later and for good, so they are looked for here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from rk.errors import RkError, RunFailed, UserError
from rk.fit.build import Parts
from rk.fit.classes import no_class
from rk.protocols import Batch
from rk.recipe.model import Recipe
from rk.values import Plain

_SIZES = ("num_classes", "num_outputs", "vocab_size")
"""Parameters of a model, and facts, that give its number of classes."""


def check_targets(batch: Batch, recipe: Recipe, facts: Mapping[str, Plain]) -> None:
    """Checks the targets of a batch on the host.

    Args:
        batch: Its fields, before they are moved to a device.
        recipe: Only of rk's own cross-entropy is it known what a target may be.
        facts: The data's facts.

    Raises:
        UserError: When a target is not a class.
    """
    targets, loss = batch.get("targets"), recipe.loss
    if loss is None or loss.component.qualified != "rk/cross-entropy" or not isinstance(targets, Tensor):
        return
    classes = _classes(recipe, facts)
    if classes is None or targets.is_floating_point() or not targets.numel():
        return
    ignored = loss.params.get("ignore_index")
    counted = targets if ignored is None else targets[targets != ignored]
    if counted.numel() and not 0 <= int(counted.min()) <= int(counted.max()) < classes:
        raise no_class(targets, classes, ignored)


def is_gpu_assert(error: BaseException) -> bool:
    """Whether a GPU has stopped at a failed assertion, as it does at an index that is out of range."""
    return "device-side assert" in str(error)


def stopped_gpu(parts: Parts, micro_batches: Iterable[int], recipe: Recipe) -> RkError:
    """Returns the error for the user when a GPU has stopped.

    Args:
        parts: What was run.
        micro_batches: Numbers of those since the last wait for the device; they are made again on the host.
        recipe: What was run.
    """
    runtime, data, stage = parts.runtime, parts.data, getattr(parts.trainer, "stage", 0)
    try:
        for i in micro_batches:
            if data is None:
                break
            batch = data.batch("train", i * runtime.world + runtime.rank, stage)
            check_targets(batch, recipe, parts.facts)
    except UserError as found:
        return found
    return RunFailed(
        "the GPU stopped at an index out of range: a target that is not a class, or a token beyond the vocabulary",
        "fit.accelerator=cpu names it; CUDA_LAUNCH_BLOCKING=1 shows the line",
    )


def _classes(recipe: Recipe, facts: Mapping[str, Plain]) -> int | None:
    given = recipe.model.params if recipe.model is not None else {}
    found = (values[name] for name in _SIZES for values in (given, facts) if isinstance(values.get(name), int))
    return next(found, None)
