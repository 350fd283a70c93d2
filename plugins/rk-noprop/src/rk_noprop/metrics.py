"""Accuracy of walks that begin in noise."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from rk.protocols import Share


class RunAccuracy:
    """Accuracy of a single walk, as a mean over several walks, each with its own noise, as the paper reports.

    Examples:
        metrics: {run: run-accuracy}
    """

    def __call__(self, *, run_logits: Float[Tensor, "batch runs classes"], targets: Int[Tensor, "batch"]) -> Share:
        """Returns the number of hits and the number of walks."""
        hits = run_logits.argmax(-1) == targets.unsqueeze(1)
        return hits.sum(), hits.numel()


class GuessAccuracy:
    """Accuracy of what one step of a walk guesses.

    Args:
        step: Number of the step among those that a walk keeps, from 1; negative ones count from the last.

    Examples:
        metrics: {first-block: {name: guess-accuracy, step: 0}}
    """

    def __init__(self, step: int = -1) -> None:
        if step == 0:
            raise ValueError("step must not be 0: steps count from 1, or from the last as -1")
        self.place = step - 1 if step > 0 else step

    def __call__(self, *, guesses: Float[Tensor, "batch steps classes"], targets: Int[Tensor, "batch"]) -> Share:
        """Returns the number of hits and of examples."""
        hits = guesses[:, self.place].argmax(-1) == targets
        return hits.sum(), hits.numel()
