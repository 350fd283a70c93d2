"""A learner's answers over a split: the same that `rk eval` measures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from rk.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from rk.protocols import Batch, FitContext, Outputs, Run


def evaluating(learner: nn.Module, seed: int) -> AbstractContextManager[None]:
    """Puts every module into eval mode, without gradients, under separate generators; restores all of it.

    Args:
        learner: The learner.
        seed: Seeds what it draws.
    """
    from rk.fit.evaluate import evaluating as context

    return context(learner, seed)


def answers(
    run: Run | FitContext,
    split: str,
    limit: int | None = None,
    *,
    seed: int | None = None,
    needs: Sequence[str] = (),
    hint: str | None = None,
) -> Iterator[tuple[Batch, Outputs]]:
    """Yields each batch of a split with what the learner answers, in eval mode and without gradients.

    What a learner draws depends on the seed and on the number of the batch alone, as in validation and tests: with the
    run's own seed these are the answers that were measured. The learner is left as it was between two batches.

    Args:
        run: A finished run, or what a callback is given of a running one.
        split: The split of the batches.
        limit: The most batches to take; None takes all.
        seed: Seeds what the learner draws; None takes the run's `fit.seed`.
        needs: Fields of the batch and the outputs that the caller reads.
        hint: What is made for these fields.

    Raises:
        UserError: When there is no such split, when it has no end and there is no limit, or when a batch and its
            outputs lack one of `needs`.
    """
    from rk.fit.evaluate import predicted, seed_of_batch, widened

    seed = run.recipe.fit.seed if seed is None else seed
    for i, batch in enumerate(run.batches(split, limit)):
        with evaluating(run.learner, seed_of_batch(seed, i)), run.runtime.autocast():
            outputs = widened(predicted(run.learner, batch))
        if lacking := [name for name in needs if name not in outputs and name not in batch]:
            raise UserError(f"{_label(run)} gives no {lacking[0]}", hint)
        yield batch, outputs


def _label(run: Run | FitContext) -> str:
    """Returns the run's folder as a user would type it; of a run that is being trained, its recipe."""
    label: str = getattr(run.folder, "label", None) or run.recipe.name
    return label
