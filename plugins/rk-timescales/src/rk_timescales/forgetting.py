"""The analysis `forgetting`: which N a trained network still answers, without further training."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Annotated

from annotated_types import Ge

from rk import Run
from rk.charts import COLORS, chart, plain, save
from rk.writing import write_csv
from rk_timescales.probing import accuracy, by_recipe, task_of


class Forgetting:
    """The accuracy of runs on `n-dms` or `n-parity` for every N, with the weights as they are.

    A network that was trained on one N after the other answers by one head: for the last N, and no longer for those
    before it. One that was trained on all so far answers them all.

    Args:
        runs: The runs; those of one recipe are one curve, their mean.
        up_to: The largest N; null: the largest of the data, at most 12.
        examples: Sequences for each N.

    Raises:
        UserError: When a run is of other data.

    Examples:
        rk analyze forgetting --runs "[dms-quick, dms-single]"
    """

    def __init__(
        self, runs: list[Run], up_to: Annotated[int, Ge(2)] | None = None, examples: Annotated[int, Ge(1)] = 1024
    ) -> None:
        self.runs = runs
        self.up_to = up_to
        self.examples = examples

    def analyze(self, out: Path) -> dict[str, float]:
        """Writes `forgetting.csv` and a figure; returns the accuracy of each recipe for each N: ``dms-quick/3``."""
        curves: dict[str, dict[int, float]] = {}
        rows: list[tuple[str, str, int, float]] = []
        for name, runs in by_recipe(self.runs).items():
            found = [self._curve(run) for run in runs]
            curves[name] = {n: fmean(curve[n] for curve in found) for n in found[0]}
            rows += [
                (name, run.folder.path.name, n, share)
                for run, c in zip(runs, found, strict=True)
                for n, share in c.items()
            ]
        write_csv(out / "forgetting.csv", ("recipe", "run", "n", "accuracy"), rows)
        with chart(4.8, 3.0) as (figure, axis):
            for i, (name, curve) in enumerate(curves.items()):
                axis.plot([*curve], [*curve.values()], marker="o", label=plain(name), color=COLORS[i % len(COLORS)])
            axis.xaxis.get_major_locator().set_params(integer=True)
            axis.set_xlabel("N")
            axis.set_ylabel("accuracy, weights frozen")
            axis.set_ylim(0.4, 1.02)
            axis.legend()
            save(figure, out / "forgetting.png")
        return {f"{name}/{n}": share for name, curve in curves.items() for n, share in curve.items()}

    def _curve(self, run: Run) -> dict[int, float]:
        task, device = task_of(run), run.runtime.device
        asked = range(task.growth.first, min(task.growth.largest, self.up_to or 12) + 1)
        return {n: accuracy(run.learner, task, n, self.examples, device) for n in asked}
