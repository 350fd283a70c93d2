"""The callback `gradient-flow`: how far back a loss teaches, from validation to validation."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge

from rk import UserError
from rk.errors import suggest
from rk.fit.context import FitContext
from rk.fit.evaluate import evaluating
from rk.fit.stream import to_device
from rk.runs import RunFolder
from rk_rnn.flow import gradient_by_lag

FILE = "gradient-flow.csv"


@dataclass
class Flow:
    """Norms of gradients over a run.

    Attributes:
        steps: Where they were measured.
        norms: At each of these steps, that of every lag from 1.
    """

    steps: list[int] = field(default_factory=list)
    norms: list[list[float]] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Writes one line per lag: the lag, then a column per step."""
        with path.open("w", newline="", encoding="utf-8") as file:
            lines = csv.writer(file)
            lines.writerow(["lag", *(f"step {step}" for step in self.steps)])
            lines.writerows([lag, *row] for lag, row in enumerate(zip(*self.norms, strict=True), 1))


class GradientFlow:
    """Measures |dL/dS| of a recurrent layer's state at every lag, before the first step and at each validation.

    L is the loss at the last step of a sequence; the norm is averaged over one batch. Where it falls by orders of
    magnitude within the lag that a task asks for, the task is not learned: gradients vanish. The run then has
    `gradient-flow.csv`, a column per measurement, and the figure `gradient-flow`.

    Args:
        split: Whose first batch is looked at.
        layer: Which of the model's layers with a state, from 0.
    """

    def __init__(self, split: str = "val", layer: Annotated[int, Ge(0)] = 0) -> None:
        self.split = split
        self.layer = layer
        self.flow = Flow()

    def fit_start(self, fit: FitContext) -> None:
        splits = getattr(fit.data, "splits", ())
        if self.split not in splits:
            raise UserError(
                f"gradient-flow: the data has no split {self.split!r}", suggest(self.split, splits, "splits")
            )
        if fit.step == 0:
            self._measure(fit)

    def validated(self, fit: FitContext, metrics: Mapping[str, float]) -> None:
        self._measure(fit)

    def fit_end(self, fit: FitContext) -> None:
        from rk_rnn.drawing import draw

        if fit.runtime.is_main:
            folder = RunFolder(fit.folder)
            self.flow.write(folder.path / FILE)
            folder.figures.mkdir(exist_ok=True)
            curves = {f"step {step}": row for step, row in zip(self.flow.steps, self.flow.norms, strict=True)}
            draw(curves, folder.figures / "gradient-flow.png", in_order=True)

    def _measure(self, fit: FitContext) -> None:
        if self.flow.steps and self.flow.steps[-1] == fit.step:  # the last step may be validated twice
            return
        batch = to_device(fit.data.batch(self.split, 0), fit.runtime.device)
        with evaluating(fit.learner, fit.recipe.fit.seed):
            norms = gradient_by_lag(fit.learner, batch, self.layer)
        self.flow.steps.append(fit.step)
        self.flow.norms.append([float(f"{norm:.4g}") for norm in norms])

    def state_dict(self) -> dict[str, Any]:
        return {"steps": list(self.flow.steps), "norms": [list(row) for row in self.flow.norms]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.flow = Flow(list(state["steps"]), [list(row) for row in state["norms"]])
