"""Learning curves with their power laws: as tables, and drawn on logarithmic axes."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rk.charts import COLORS, chart, plain, save
from rk.writing import write_csv
from rk_kernels.power_law import PowerLaw, fit_power_law

if TYPE_CHECKING:  # the library of charts is imported when one is drawn
    from matplotlib.axes import Axes

MARKS = 6
"""Sizes that are written below a chart."""


@dataclass(frozen=True)
class Curve:
    """Measurements of one learning curve, and the power law through them.

    Attributes:
        values: n -> measurements, as many for each n.
        expected: The exponent that a theory predicts, where there is one.
    """

    values: Mapping[float, Sequence[float]]
    expected: float | None = None
    law: PowerLaw = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "law", fit_power_law(self.values))

    def mean(self, n: float) -> float:
        """Returns the mean of the measurements at `n`."""
        return sum(self.values[n]) / len(self.values[n])

    def theory(self, n: float) -> float | None:
        """Returns the value at `n` of the predicted power law, which begins where the fit does."""
        first = min(self.values)
        return None if self.expected is None else self.law(first) * (n / first) ** -self.expected

    def write(self, path: Path, parameter: str, metric: str, name: str) -> None:
        """Writes a table.

        Args:
            path: The CSV file.
            parameter: What n is, a column.
            metric: What was measured, the column of the means.
            name: Of one measurement at each n, a column with its number.
        """
        count = max(map(len, self.values.values()))
        rows = ([n, self.mean(n), self.law(n), self.theory(n), *self.values[n]] for n in self.values)
        write_csv(path, [parameter, metric, "fit", "theory", *(f"{name} {k + 1}" for k in range(count))], rows)

    @classmethod
    def read(cls, path: Path, expected: float | None = None) -> Curve:
        """Reads a table that `write` has written."""
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))[1:]
        return cls({float(row[0]): [float(cell) for cell in row[4:]] for row in rows}, expected)


def _mark_sizes(axis: Axes, sizes: Sequence[float]) -> None:
    """Marks sizes that were measured, at most `MARKS`: the marks of a logarithmic axis overlap within a decade."""
    every = math.ceil(len(sizes) / MARKS)
    axis.set_xticks(shown := sizes[::every], [f"{n:g}" for n in shown])
    axis.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)


def draw_curves(curves: Mapping[str, Curve], x_label: str, y_label: str, path: Path) -> None:
    """Draws the means, the fits, and the slopes of theories from where each fit begins.

    Args:
        curves: Title -> curve; a title may be empty.
        x_label: What n counts.
        y_label: What was measured.
        path: The image file.
    """
    several = len(curves) > 1
    with chart(7.2 if several else 5.0, 3.4) as (figure, axis):
        for i, (title, curve) in enumerate(curves.items()):
            color = COLORS[i % len(COLORS)]
            for n, many in curve.values.items():
                axis.plot([n] * len(many), many, "o", color=color, alpha=0.25, markersize=3)
            sizes = sorted(curve.values)
            axis.plot(sizes, [curve.mean(n) for n in sizes], "o", color=color, markersize=4)
            name = f"{plain(title) or 'fit: exponent'} {curve.law.exponent:.2f}"
            axis.plot(sizes, [curve.law(n) for n in sizes], "-", color=color, label=name)
            if curve.expected is not None:
                line = [curve.theory(n) for n in sizes]
                axis.plot(sizes, line, "--", color=color, alpha=0.6, label=f"theory {curve.expected:.3g}")
        axis.set_xscale("log")
        axis.set_yscale("log")
        _mark_sizes(axis, sorted({n for curve in curves.values() for n in curve.values}))
        axis.set_xlabel(plain(x_label))
        axis.set_ylabel(plain(y_label))
        axis.legend(**({"loc": "center left", "bbox_to_anchor": (1, 0.5)} if several else {}))
        save(figure, path)
