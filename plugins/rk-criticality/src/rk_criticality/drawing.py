"""Figures: predicted lines, measured points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rk.charts import COLORS, chart, plain, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rk_criticality.entry import Entry
    from rk_criticality.measure import Row

Points = Sequence[float | None]


def draw_rows(rows: Sequence[Row], path: Path, title: str) -> Path:
    """Draws K, chi_perp, V and gradients over the layers; returns the file."""
    with chart(8.6, 5.2, rows=2, columns=2) as (figure, *axes):
        _panel(axes[0], "K", [r.k for r in rows], [r.k_predicted for r in rows], log=True)
        _panel(axes[1], "chi_perp", [r.chi_perp for r in rows], [r.chi_perp_predicted for r in rows])
        axes[1].axhspan(0.95, 1.05, color=COLORS[2], alpha=0.15, linewidth=0)
        _panel(axes[2], "V / K^2", [r.v for r in rows], [r.v_predicted for r in rows])
        _panel(axes[3], "squared gradient at the first layer", [r.from_first for r in rows], [], log=True)
        figure.suptitle(plain(title), x=0.02, ha="left", fontsize=10)
        return save(figure, path)


def draw_ledger(entries: Mapping[str, Sequence[Entry]], path: Path, title: str) -> Path:
    """Draws a panel per quantity of a ledger; returns the file."""
    columns = (len(entries) + 1) // 2
    with chart(3.2 * columns, 5.2, rows=2, columns=columns) as (figure, *axes):
        for axis in axes[len(entries) :]:
            axis.set_axis_off()
        for axis, (name, found) in zip(axes, entries.items(), strict=False):
            _panel(axis, name, [e.measured for e in found], [e.predicted for e in found])
        figure.suptitle(plain(title), x=0.02, ha="left", fontsize=10)
        return save(figure, path)


def draw_drift(steps: Sequence[int], layers: Mapping[str, Sequence[float]], path: Path) -> Path:
    """Draws chi_perp of each layer over the steps of a run, from blue (the first half) to orange; returns the file."""
    with chart(5.4, 3.2) as (figure, axis):
        for i, (name, values) in enumerate(layers.items()):
            share = i / max(1, len(layers) - 1)
            color = COLORS[0] if share < 0.5 else COLORS[1]
            axis.plot(steps, values, color=color, alpha=0.3 + 0.7 * share, linewidth=1.2, label=plain(name))
        axis.axhline(1.0, color=COLORS[7], linewidth=0.8)
        axis.set_yscale("log")
        axis.set_xlabel("step")
        axis.set_ylabel("chi_perp")
        if len(layers) <= 8:
            axis.legend()
        return save(figure, path)


def _panel(axis: Axes, name: str, measured: Points, predicted: Points, *, log: bool = False) -> None:
    for values, style, label in ((predicted, "-", "predicted"), (measured, "o", "measured")):
        known = [(i, x) for i, x in enumerate(values, 1) if x is not None]
        if known:
            color = COLORS[1] if style == "-" else COLORS[0]
            axis.plot(*zip(*known, strict=True), style, color=color, markersize=4, linewidth=1.6, label=label)
    if log and all(x > 0 for x in measured if x is not None):
        axis.set_yscale("log")
    axis.set_title(name, loc="left", fontsize=9)
    axis.set_xlabel("layer")
    if any(x is not None for x in predicted):
        axis.legend()
