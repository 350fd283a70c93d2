"""The analysis `calibration`: how often the intervals of runs cover, level by level."""

from __future__ import annotations

from pathlib import Path

import torch

from rk import Run, UserError
from rk.charts import chart, save
from rk.fit.evaluate import evaluating
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
    """

    def __init__(self, run: Run, baseline: Run | None = None, split: str = "test") -> None:
        self.runs = [run] if baseline is None else [run, baseline]
        self.split = split

    def analyze(self, out: Path) -> dict[str, float]:
        """Draws `calibration.png` and writes `calibration.csv`; returns each run's calibration error."""
        found: dict[str, torch.Tensor] = {}
        for run in self.runs:
            name = run.recipe.name.rpartition("/")[2]
            found[name if name not in found else f"{name} (baseline)"] = self._reached(run)
        levels = torch.tensor(LEVELS, dtype=torch.float64)
        observed = {name: coverage(reached, levels) for name, reached in found.items()}
        lines = [",".join(("level", *observed))]
        lines += [",".join(f"{x:.4g}" for x in row) for row in zip(LEVELS, *observed.values(), strict=True)]
        (out / "calibration.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._draw(found, out / "calibration.png")
        return {f"{name}/calibration-error": float((o - levels).abs().mean()) for name, o in observed.items()}

    def _reached(self, run: Run) -> torch.Tensor:
        reached = []
        for i, batch in enumerate(run.batches(self.split)):
            with evaluating(run.learner, i):
                outputs = run.learner.predict(batch)
            if any(name not in outputs for name in FIELDS) or "targets" not in batch:
                raise UserError(
                    f"{run.folder.label} does not answer with distributions", f"fields: {', '.join(FIELDS)}"
                )
            fields = (outputs[name] for name in FIELDS)
            reached.append(central_probability(*fields, batch["targets"]).flatten())
        return torch.cat(reached)

    def _draw(self, found: dict[str, torch.Tensor], path: Path) -> None:
        with chart(4, 3.8) as (figure, axis):
            draw_coverage(axis, found)
            save(figure, path)
