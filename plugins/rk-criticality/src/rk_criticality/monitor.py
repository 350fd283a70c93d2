"""The callback `criticality-monitor`: how a network drifts away from criticality while it is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge

from rk import FitContext, UserError
from rk.authoring import Recorder
from rk.sampling import generator
from rk.writing import write_csv
from rk_criticality.measure import first_examples, measured

NUMBERS = ("k", "chi_perp", "gradient")


class CriticalityMonitor(Recorder):
    """Measures K, chi_perp and the gradient of every layer before the first step and at each validation.

    The run then has `criticality.csv`, a line per step and layer, and the figure `criticality`.

    Args:
        split: Where the batch is from.
        examples: Of the batch, at most.
        draws: Vectors of the estimator of Jacobians.

    Examples:
        callbacks: [critical-init, criticality-monitor]
    """

    name = "criticality-monitor"
    stem = "criticality"

    def __init__(
        self, split: str = "train", examples: Annotated[int, Ge(1)] = 16, draws: Annotated[int, Ge(1)] = 4
    ) -> None:
        super().__init__(split)
        self.examples = examples
        self.draws = draws
        self.layers: list[str] = []

    def fit_start(self, fit: FitContext) -> None:
        super().fit_start(fit)
        if fit.step == 0:  # a resumed run has measured where it was stopped
            self.take(fit)

    def measure(self, fit: FitContext) -> list[float]:
        """Returns K, chi_perp and the gradient of each layer, one layer after the other; what there is not is 0."""
        batch = first_examples(next(iter(fit.batches(self.split, 1))), self.examples)
        rows = measured([fit.learner], batch, self.draws, generator(0, "criticality-monitor"))
        self.layers = [row.name for row in rows]
        values = [getattr(row, name) for row in rows for name in NUMBERS]
        if self.record.rows and len(values) != len(self.record.rows[0]):
            raise UserError("criticality-monitor: the model has other layers than at the first step")
        return [0.0 if value is None else float(f"{value:.6g}") for value in values]

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "layers": list(self.layers)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.layers = list(state["layers"])

    def table(self, path: Path) -> None:
        """Writes a line per step and layer."""
        size = len(NUMBERS)
        rows = (
            [step, layer, *numbers[i * size : (i + 1) * size]]
            for step, numbers in zip(self.record.steps, self.record.rows, strict=True)
            for i, layer in enumerate(self.layers)
        )
        write_csv(path, ["step", "layer", *NUMBERS], rows)

    def draw(self, fit: FitContext, path: Path) -> None:
        from rk_criticality.drawing import draw_drift

        at = NUMBERS.index("chi_perp")
        curves = {
            layer: [row[i * len(NUMBERS) + at] for row in self.record.rows] for i, layer in enumerate(self.layers)
        }
        draw_drift(self.record.steps, {k: v for k, v in curves.items() if all(v)}, path)
