"""The analysis `calibration`: how often the intervals of runs cover, level by level."""

from __future__ import annotations

from pathlib import Path

import torch

from rk import Run
from rk.authoring import answers, titles
from rk.charts import chart, save
from rk.writing import write_csv
from rk_kernels.drawing import draw_coverage
from rk_kernels.metrics import LEVELS, coverage
from rk_kernels.predictive import central_probability

FIELDS = ("values", "scales", "log_weights", "degrees")


class Calibration:
    """Observed against nominal coverage of central intervals, for one run or two.

    Args:
        run: A run that answers with predictive distributions.
        baseline: Another one, on the same data.
        split: Whose targets are looked at.

    Examples:
        rk analyze calibration --run last --split test
    """

    def __init__(self, run: Run, baseline: Run | None = None, split: str = "test") -> None:
        self.runs = [run] if baseline is None else [run, baseline]
        self.split = split

    def analyze(self, out: Path) -> dict[str, float]:
        """Draws `calibration.png` and writes `calibration.csv`; returns each run's calibration error."""
        names = titles(self.runs, ("run", "baseline"))
        found = dict(zip(names, map(self._reached, self.runs), strict=True))
        levels = torch.tensor(LEVELS, dtype=torch.float64)
        observed = {name: coverage(reached, levels) for name, reached in found.items()}
        rows = zip(LEVELS, *(shares.tolist() for shares in observed.values()), strict=True)
        write_csv(out / "calibration.csv", ("level", *observed), rows, digits=4)
        self._draw(found, out / "calibration.png")
        return {f"{name}/calibration-error": float((o - levels).abs().mean()) for name, o in observed.items()}

    def _reached(self, run: Run) -> torch.Tensor:
        hint = "calibration takes runs that answer with distributions"
        found = answers(run, self.split, needs=(*FIELDS, "targets"), hint=hint)
        return torch.cat(
            [
                central_probability(**{name: given[name] for name in FIELDS}, targets=batch["targets"]).flatten()
                for batch, given in found
            ]
        )

    def _draw(self, found: dict[str, torch.Tensor], path: Path) -> None:
        with chart(4, 3.8) as (figure, axis):
            draw_coverage(axis, found)
            save(figure, path)
