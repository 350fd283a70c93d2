"""How often a run validates if its recipe does not give it."""

from __future__ import annotations

import math

from rk.capabilities import HasBatches
from rk.recipe.sections import Fit

VALIDATIONS = 20
"""Points of a curve, at most."""
SHARE = 1 / 3
"""Validation batches for each batch of training, at most: a validation batch has no backward pass."""


def usual_interval(fit: Fit, data: HasBatches | None, splits: tuple[str, ...], total: int | None, world: int) -> int:
    """Returns the steps from one validation to the next where `fit.validate_every` is not given; 0: only at the end.

    Validation has no effect on weights, but it takes time, and what it finds may choose the checkpoint (`fit.monitor`)
    or end the run (a callback). So this is for runs of known length that validate on finite splits, without a monitor.

    Args:
        fit: The recipe's section.
        data: The task.
        splits: Its splits.
        total: Steps of the whole run.
        world: Processes that share a step.
    """
    if fit.monitor is not None or total is None or data is None:
        return 0
    sizes = [data.batches(split) for split in splits if split.startswith("val")]
    if fit.validate_batches is not None:
        sizes = [fit.validate_batches if size is None else min(size, fit.validate_batches) for size in sizes]
    finite = [size for size in sizes if size is not None]
    if not sizes or len(finite) < len(sizes):
        return 0
    trained = total * fit.accumulate * world
    affordable = int(SHARE * trained / max(1, sum(finite)))
    wanted = min(VALIDATIONS, fit.max_epochs or VALIDATIONS)
    times = min(wanted, affordable, total)
    return math.ceil(total / times) if times > 1 else 0
