"""The callback `subnet-table`: what every sub-network reaches, as a table, a figure and two numbers."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping

from rk import FitContext, UserError
from rk.charts import chart, plain, save
from rk.writing import write_csv

_NAME = re.compile(r"w(?P<width>[\d.]+)(?:-d(?P<depth>\d+))?")


class SubnetTable:
    """Writes ``subnets.csv`` and ``subnets.png`` at the end of a run that trains nested networks.

    Its results are ``run/subnets-mean`` and ``run/subnets-worst``, over all sub-networks that are measured, the whole
    one included.

    Args:
        metric: The ``split/metric`` of the table.

    Examples:
        callbacks: [subnet-table]
    """

    def __init__(self, metric: str = "test/accuracy") -> None:
        self.metric = metric
        self.found: dict[tuple[float, int | None], float] = {}

    def fit_end(self, fit: FitContext) -> None:
        self.found = measured(fit.metrics, self.metric)
        whole = getattr(fit.learner, "whole", None)
        if whole is not None and self.metric in fit.metrics:
            self.found[whole.width, whole.depth] = fit.metrics[self.metric]
        if len(self.found) < 2:
            raise UserError(f"subnet-table: no {self.metric} of sub-networks is measured", "use the trainer sorted")
        rows = [[width, depth, value] for (width, depth), value in sorted(self.found.items(), key=_order)]
        write_csv(fit.folder / "subnets.csv", ["width", "depth", self.metric], rows)
        figures = fit.folder / "figures"
        figures.mkdir(exist_ok=True)
        draw(self.found, self.metric, figures / "subnets.png")

    def results(self) -> Mapping[str, float]:
        if not self.found:
            return {}
        return {"subnets-mean": statistics.fmean(self.found.values()), "subnets-worst": min(self.found.values())}


def _order(row: tuple[tuple[float, int | None], float]) -> tuple[int, float]:
    (width, depth), _ = row
    return depth or 0, width


def measured(metrics: Mapping[str, float], metric: str) -> dict[tuple[float, int | None], float]:
    """Returns (width, depth) -> value of the sub-networks among the metrics of a run."""
    found = {}
    for name, value in metrics.items():
        base, _, variant = name.partition("@")
        if base == metric and (match := _NAME.fullmatch(variant)):
            depth = match["depth"]
            found[float(match["width"]), None if depth is None else int(depth)] = value
    return found


def draw(found: Mapping[tuple[float, int | None], float], metric: str, path: object) -> None:
    """Draws a line per depth over the widths; with one width, a line over the depths."""
    from pathlib import Path

    widths = sorted({width for width, _ in found})
    depths = sorted({depth or 0 for _, depth in found})
    with chart(5.0, 3.2) as (figure, axis):
        if len(widths) == 1:
            axis.plot(depths, [found[widths[0], d or None] for d in depths], "o-")
            axis.set_xlabel("blocks")
        else:
            for d in depths:
                axis.plot(widths, [found[w, d or None] for w in widths], "o-", label=f"{d} blocks" if d else None)
            axis.set_xlabel("share of the width")
            if len(depths) > 1:
                axis.legend()
        axis.set_ylabel(plain(metric))
        save(figure, Path(str(path)))
