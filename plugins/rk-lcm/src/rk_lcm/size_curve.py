"""The analysis `size-curve`: a metric over the sizes that a run was tested on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from rk import Run, UserError, load
from rk.authoring import titles
from rk.writing import write_csv
from rk_lcm.drawing import draw_curves

SIZED = re.compile(r"test-(\d+)")


class SizeCurve:
    """A metric of one or several runs over the sizes N of their splits ``test-N``.

    Runs of one recipe with several seeds are one curve, their mean.

    Args:
        runs: The runs.
        metric: The metric, without its split.
        trained_size: Marked in the figure: the largest size in training.

    Raises:
        ValueError: When there is no run.

    Examples:
        rk analyze size-curve --runs [last] --metric exact-match
    """

    def __init__(
        self, runs: list[Run], metric: str = "exact-match", trained_size: Annotated[int, Ge(1)] | None = None
    ) -> None:
        if not runs:
            raise ValueError("runs must not be empty")
        self.runs = runs
        self.metric = metric
        self.trained_size = trained_size

    def analyze(self, out: Path) -> dict[str, float]:
        """Writes `size-curve.csv` and a figure into `out`; returns the value at the largest size for each curve."""
        found: dict[str, list[dict[int, float]]] = {}
        for run in self.runs:
            found.setdefault(run.recipe.name, []).append(self._by_size(run))
        sizes = sorted(set.intersection(*(set(curve) for curves in found.values() for curve in curves)))
        if not sizes:
            raise UserError("size-curve: the runs have no size in common", "take runs with the same splits test-N")
        firsts = [next(run for run in self.runs if run.recipe.name == name) for name in found]
        means = {
            title: [sum(curve[n] for curve in curves) / len(curves) for n in sizes]
            for title, curves in zip(titles(firsts), found.values(), strict=True)
        }
        rows = ((name, n, value) for name, curve in means.items() for n, value in zip(sizes, curve, strict=True))
        write_csv(out / "size-curve.csv", ("run", "size", self.metric), rows)
        across, path = "size of the set", out / "size-curve.png"
        draw_curves(means, sizes, path, across=across, up=self.metric, trained=self.trained_size)
        return {name: curve[-1] for name, curve in means.items()}

    def _by_size(self, run: Run) -> dict[int, float]:
        """Returns size -> value of the metric, as it was measured at the end of the run."""
        found: dict[int, float] = {}
        for name, value in load(run.folder.path).metrics.items():
            split, _, metric = name.partition("/")
            if metric == self.metric and value is not None and (match := SIZED.fullmatch(split)):
                found[int(match[1])] = value
        if not found:
            label = getattr(run.folder, "label", run.recipe.name)
            raise UserError(f"{label} has no test-N/{self.metric}", "take runs on data with splits test-N")
        return found
