"""The analysis `gradient-flow`: how far back the losses of one or two finished runs reach, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from rk import Run, UserError
from rk.authoring import evaluating, titles
from rk_rnn.flow import gradient_by_lag, write_by_lag


class GradientFlowAnalysis:
    """|dL/dS| of a recurrent layer's state, by lag, for a run and another one, such as the same with another layer.

    Args:
        run: A run whose model has layers with a state.
        baseline: Another one.
        split: The split whose first batch is used.
        layer: Which of the model's layers with a state, from 0.
        seed: Seeds what a learner draws when it answers.

    Examples:
        rk analyze gradient-flow --run last
    """

    def __init__(
        self,
        run: Run,
        baseline: Run | None = None,
        split: str = "test",
        layer: Annotated[int, Ge(0)] = 0,
        seed: int = 0,
    ) -> None:
        self.runs = {"run": run} if baseline is None else {"run": run, "baseline": baseline}
        self.split = split
        self.layer = layer
        self.seed = seed

    def analyze(self, out: Path) -> dict[str, float]:
        """Writes `gradient-flow.csv` and a figure; returns the norm at lag 1, at the longest, and their ratio."""
        from rk_rnn.drawing import draw

        curves: dict[str, list[float]] = {}
        results: dict[str, float] = {}
        names = titles([*self.runs.values()], [*self.runs])
        for (role, run), name in zip(self.runs.items(), names, strict=True):
            with evaluating(run.learner, self.seed):
                norms = gradient_by_lag(run.learner, next(iter(run.batches(self.split, 1))), self.layer)
            if not norms:
                raise UserError(f"{run.folder.label}: sequences of one step have nothing before the last")
            curves[name] = norms
            results |= {f"{role}/lag-1": norms[0], f"{role}/lag-{len(norms)}": norms[-1]}
            results[f"{role}/left"] = norms[-1] / norms[0] if norms[0] else 0.0
        write_by_lag(out / "gradient-flow.csv", curves)
        draw(curves, out / "gradient-flow.png")
        return results
