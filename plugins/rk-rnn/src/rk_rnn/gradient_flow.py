"""The callback `gradient-flow`: how far back gradients of a loss reach, measured at each validation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from rk import FitContext
from rk.authoring import Recorder, evaluating
from rk_rnn.flow import gradient_by_lag, write_by_lag


class GradientFlow(Recorder):
    """Measures |dL/dS| of a recurrent layer's state at every lag, before the first step and at each validation.

    L is the loss at the last step of a sequence; the norm is averaged over one batch. Where it falls by orders of
    magnitude within the lag that a task asks for, the task is not learned: gradients vanish. The run then has
    `gradient-flow.csv`, a column per measurement, and the figure `gradient-flow`.

    Args:
        split: The split whose first batch is used.
        layer: Which of the model's layers with a state, from 0.

    Examples:
        callbacks: [{name: gradient-flow, split: val}]
    """

    name = stem = "gradient-flow"

    def __init__(self, split: str = "val", layer: Annotated[int, Ge(0)] = 0) -> None:
        super().__init__(split)
        self.layer = layer

    def fit_start(self, fit: FitContext) -> None:
        super().fit_start(fit)
        if fit.step == 0:
            self.take(fit)

    def measure(self, fit: FitContext) -> list[float]:
        """Returns the norm at every lag from 1, to four digits."""
        (batch,) = fit.batches(self.split, 1)
        with evaluating(fit.learner, fit.recipe.fit.seed):
            return [float(f"{norm:.4g}") for norm in gradient_by_lag(fit.learner, batch, self.layer)]

    def table(self, path: Path) -> None:
        write_by_lag(path, self._curves())

    def draw(self, fit: FitContext, path: Path) -> None:
        from rk_rnn.drawing import draw

        draw(self._curves(), path, in_order=True)

    def _curves(self) -> dict[str, list[float]]:
        return {f"step {step}": norms for step, norms in zip(self.record.steps, self.record.rows, strict=True)}
