"""The callback and the analysis `depth-accuracy`: the share of right answers by recursion depth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from rk import FitContext, Run
from rk.authoring import Recorder, titles
from rk.writing import write_csv
from rk_structural_recursion.depths import Judged, curve, judged, rows_of, solved_depth

HEAD = ("by", "number", "examples", "accuracy")


class DepthAccuracy(Recorder):
    """Measures after each validation which share of the answers of each depth is right.

    An answer is right if all of it is, decoded greedily. Results of the run: ``depth-K`` for each depth K, of the
    last measurement; ``solved-depth``, up to which each depth has at least 90 % right; ``agreement``, the share of
    examples of which the scores behind the true answer have the same first error as the decoded answer. The run then
    has `depth-accuracy.csv`, with a line for each depth, length, and place of a first error, and a figure of the curves
    over the depths.

    Args:
        split: Where it is measured: any that the data has, such as ``test-depth``.
        limit: The most batches to take; null takes all.

    Examples:
        callbacks: [{name: depth-accuracy, split: val}]
    """

    name = "depth-accuracy"
    stem = "depth-accuracy"

    def __init__(self, split: str = "test-depth", limit: Annotated[int, Ge(1)] | None = None) -> None:
        super().__init__(split)
        self.limit = limit
        self._last: dict[str, float] = {}
        self._judged: Judged | None = None

    def measure(self, fit: FitContext) -> list[float]:
        """Returns (depth, share, examples) of each depth, one after the other."""
        found = judged(fit, self.split, self.limit, forced=False)
        shares = found.shares(found.depth)
        return [float(x) for depth, (share, count) in sorted(shares.items()) for x in (depth, share, count)]

    def fit_end(self, fit: FitContext) -> None:
        """Measures the weights that the run ends with; writes the table and the figure."""
        found = judged(fit, self.split, self.limit)
        shares = found.shares(found.depth)
        self._last = {f"depth-{depth}": share for depth, (share, _) in sorted(shares.items())}
        self._last["solved-depth"] = float(solved_depth(shares))
        if found.agreement is not None:
            self._last["agreement"] = found.agreement
        self._judged = found
        self.take(fit)
        super().fit_end(fit)

    def results(self) -> Mapping[str, float]:
        """Returns the share of right answers of each depth, the depth that is solved, and the agreement."""
        return self._last

    def table(self, path: Path) -> None:
        """Writes a line for each depth, length, and place of a first error."""
        found = self._judged
        assert found is not None, "fit_end has measured"
        wrong = found.first_error[~found.right]
        places, counts = wrong.unique(return_counts=True)
        lines = rows_of("depth", found.shares(found.depth)) + rows_of("length", found.shares(found.length))
        for place, count in zip(places.tolist(), counts.tolist(), strict=True):
            lines.append(("first error", place, len(found.depth), count / len(found.depth)))
        write_csv(path, HEAD, lines)

    def draw(self, fit: FitContext, path: Path) -> None:
        from rk.charts import COLORS, chart, save  # matplotlib: loaded only to draw

        chosen = sorted({0, len(self.record.steps) // 3, 2 * len(self.record.steps) // 3, len(self.record.steps) - 1})
        with chart(5.6, 3.0) as (figure, axis):
            for rank, i in enumerate(chosen):
                row = self.record.rows[i]
                last = i == chosen[-1]
                axis.plot(
                    row[0::3],
                    row[1::3],
                    marker="o",
                    markersize=3,
                    linewidth=2 if last else 1,
                    color=COLORS[0] if last else COLORS[-1],
                    alpha=1 if last else 0.35 + 0.2 * rank,
                    label=f"step {self.record.steps[i]}",
                )
            axis.set(xlabel=getattr(fit.data, "depth_name", "depth"), ylabel="answers right", ylim=(-0.03, 1.03))
            axis.legend(loc="lower left")
            save(figure, path)


class DepthAccuracyAnalysis:
    """The share of right answers by depth, of one or several runs in one figure.

    Args:
        runs: The runs, each a curve.
        split: The split of the examples.
        limit: The most batches to take; null takes all.

    Raises:
        ValueError: When there is no run.

    Examples:
        rk analyze depth-accuracy --runs [last] --split test-depth
    """

    def __init__(self, runs: list[Run], split: str = "test-depth", limit: Annotated[int, Ge(1)] | None = None) -> None:
        if not runs:
            raise ValueError("runs must not be empty")
        self.runs = runs
        self.split = split
        self.limit = limit

    def analyze(self, out: Path) -> dict[str, float]:
        """Writes `depth-accuracy.csv` and a figure; returns the depth up to which each run is right, and agreement."""
        numbers: dict[str, float] = {}
        curves = {}
        lines: list[tuple[object, ...]] = []
        for name, run in zip(titles(self.runs), self.runs, strict=True):
            found = judged(run, self.split, self.limit)
            shares = found.shares(found.depth)
            curves[name] = curve(shares)
            lines += [
                (name, *line) for line in rows_of("depth", shares) + rows_of("length", found.shares(found.length))
            ]
            numbers[f"{name}/solved-depth"] = float(solved_depth(shares))
            if found.agreement is not None:
                numbers[f"{name}/agreement"] = found.agreement
        write_csv(out / "depth-accuracy.csv", ("run", *HEAD), lines)
        label = getattr(self.runs[0].data, "depth_name", "depth")
        self._draw(curves, label, out / "depth-accuracy.png")
        return numbers

    def _draw(self, curves: dict[str, tuple[list[int], list[float]]], label: str, path: Path) -> None:
        from rk.charts import COLORS, chart, plain, save  # matplotlib: loaded only to draw

        with chart(6.4, 3.2) as (figure, axis):
            for i, (name, (depths, shares)) in enumerate(curves.items()):
                color = COLORS[i % len(COLORS)]
                axis.plot(depths, shares, marker="o", markersize=3, linewidth=1.6, color=color, label=plain(name))
            axis.set(xlabel=label, ylabel="answers right", ylim=(-0.03, 1.03))
            axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
            save(figure, path)
