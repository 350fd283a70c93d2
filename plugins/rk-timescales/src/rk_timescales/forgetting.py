"""The analysis `forgetting`: which N a trained network still answers, without further training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from rk import Run
from rk.charts import COLORS, chart, plain, save
from rk.writing import write_csv
from rk_timescales.probing import accuracy, each, task_of


class Forgetting:
    """The accuracy of runs on `n-dms` or `n-parity` for every N, with the weights as they are.

    A network that was trained on one N after the other answers by one head: for the last N, and no longer for those
    before it. One that was trained on all so far answers them all.

    Args:
        runs: The runs, each a curve.
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
        """Writes `forgetting.csv` and a figure; returns the accuracy of each run for each N: ``dms-quick/3``."""
        curves: dict[str, dict[int, float]] = {}
        for name, run in each(self.runs):
            task = task_of(run)
            last = min(task.growth.largest, self.up_to or 12)
            device = run.runtime.device
            asked = range(task.growth.first, last + 1)
            curves[name] = {n: accuracy(run.learner, task, n, self.examples, device) for n in asked}
        rows = [(name, n, share) for name, curve in curves.items() for n, share in curve.items()]
        write_csv(out / "forgetting.csv", ("run", "n", "accuracy"), rows)
        with chart(4.8, 3.0) as (figure, axis):
            for i, (name, curve) in enumerate(curves.items()):
                axis.plot([*curve], [*curve.values()], marker="o", label=plain(name), color=COLORS[i % len(COLORS)])
            axis.set_xlabel("N")
            axis.set_ylabel("accuracy, weights frozen")
            axis.set_ylim(0.4, 1.02)
            axis.legend()
            save(figure, out / "forgetting.png")
        return {f"{name}/{n}": share for name, n, share in rows}
