"""The callback `subnet-table`: what every sub-network reaches, as a table, a figure and two numbers."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path

from rk import FitContext, UserError
from rk.charts import chart, plain, save
from rk.writing import write_csv
from rk_sortednet.subnets import Subnet


class SubnetTable:
    """Writes ``subnets.csv`` and ``subnets.png`` at the end of a run that trains nested networks.

    Its results are ``run/subnets-mean`` and ``run/subnets-worst``, over all sub-networks that are measured, the whole
    one included. Of a metric where less is better they are ``run/subnets-mean-loss`` and ``run/subnets-worst-loss``.

    Args:
        metric: The ``split/metric`` of the table.

    Examples:
        callbacks: [subnet-table]
    """

    lower_is_better = ("subnets-mean-loss", "subnets-worst-loss")

    def __init__(self, metric: str = "test/accuracy") -> None:
        self.metric = metric
        self.more_is_better = True
        self.found: dict[Subnet, float] = {}

    def fit_end(self, fit: FitContext) -> None:
        self.found = measured(fit.metrics, self.metric)
        name = self.metric.partition("/")[2]
        self.more_is_better = getattr(fit.data.metrics.get(name), "higher_is_better", name != "loss")
        whole = getattr(fit.learner, "whole", None)
        if whole is not None and self.metric in fit.metrics:
            self.found[whole] = fit.metrics[self.metric]
        if len(self.found) < 2:
            raise UserError(f"subnet-table: no {self.metric} of sub-networks is measured", "use the trainer sorted")
        rows = [[s.width, s.heads, s.depth, self.found[s]] for s in sorted(self.found, key=lambda s: s.order)]
        kept = [i for i in range(4) if i != 1 or any(row[1] is not None for row in rows)]
        head = ["width", "heads", "depth", self.metric]
        write_csv(fit.folder / "subnets.csv", [head[i] for i in kept], [[row[i] for i in kept] for row in rows])
        figures = fit.folder / "figures"
        figures.mkdir(exist_ok=True)
        draw(self.found, self.metric, figures / "subnets.png")

    def results(self) -> Mapping[str, float]:
        if not self.found:
            return {}
        values = self.found.values()
        if self.more_is_better:
            return {"subnets-mean": statistics.fmean(values), "subnets-worst": min(values)}
        return {"subnets-mean-loss": statistics.fmean(values), "subnets-worst-loss": max(values)}


def measured(metrics: Mapping[str, float], metric: str) -> dict[Subnet, float]:
    """Returns the values of the sub-networks among the metrics of a run."""
    found = {}
    for name, value in metrics.items():
        base, _, variant = name.partition("@")
        subnet = Subnet.named(variant)
        if base == metric and subnet is not None:
            found[subnet] = value
    return found


def draw(found: Mapping[Subnet, float], metric: str, path: Path) -> None:
    """Draws lines over what differs: widths, else heads, else blocks; a line for each of the others."""
    across = next((name for name in ("width", "heads", "depth") if len({getattr(s, name) for s in found}) > 1), "depth")
    labels = {"width": "share of the width", "heads": "heads", "depth": "blocks"}
    lines: dict[tuple[int, int, float], list[tuple[float, float]]] = {}
    for subnet in sorted(found, key=lambda s: s.order):
        depth, heads, width = subnet.order
        line = (depth * (across != "depth"), heads * (across != "heads"), width * (across != "width"))
        lines.setdefault(line, []).append((getattr(subnet, across) or 0, found[subnet]))
    with chart(5.0, 3.2) as (figure, axis):
        for (depth, heads, _), points in lines.items():
            said = [f"{depth} blocks"] * bool(depth) + [f"{heads} heads"] * bool(heads)
            axis.plot(*zip(*points, strict=True), "o-", label=", ".join(said))
        axis.set_xlabel(labels[across])
        if len(lines) > 1:
            axis.legend()
        axis.set_ylabel(plain(metric))
        save(figure, path)
