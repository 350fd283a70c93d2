"""Intervals around predictions, and how often they cover: matplotlib's object API, so no global state."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rk.charts import COLORS, chart, plain, save
from rk_kernels.metrics import LEVELS, coverage
from rk_kernels.predictive import central_probability

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INSIDE, OUTSIDE = "#0b7a75", "#c2410c"
WIDEST = 14
"""Points of the widest bar: few rows have bars of this width, with room beside them."""
FEW = 10
"""Rows up to which each has its mark on the axis."""


def draw_intervals(
    outputs: Mapping[str, Tensor],
    half: Tensor,
    targets: Tensor | None,
    level: float,
    name: str | None,
    out: Path,
) -> Path:
    """Draws the intervals in the order of their central values; beside known targets, their calibration.

    Args:
        outputs: The fields of `PredictiveOutputs`.
        half: Half width of each interval, (batch,).
        targets: (batch, 1), or None.
        level: Probability of the intervals.
        name: What is predicted.
        out: The file; an ending is added where it has none.
    """
    shape: dict[str, Any] = {} if targets is None else {"columns": 2, "width_ratios": [1.7, 1]}  # Any: for matplotlib
    with chart(5.6 if targets is None else 8.4, 3.4, **shape) as (figure, *axes):
        _intervals(axes[0], outputs["values"][:, 0], half, targets, level, name)
        if targets is not None:
            scales, log_weights, degrees = outputs["scales"], outputs["log_weights"], outputs["degrees"]
            reached = central_probability(outputs["values"], scales, log_weights, degrees, targets).flatten()
            draw_coverage(axes[1], {"observed": reached})
        return save(figure, out)


def _intervals(
    axis: Axes, values: Tensor, half: Tensor, targets: Tensor | None, level: float, name: str | None
) -> None:
    order = values.argsort()
    x = torch.arange(len(order))
    middle, width = values[order], half[order]
    thick = min(WIDEST, max(1, 260 / len(order) / 2))
    axis.vlines(x, middle - width, middle + width, color=COLORS[0], alpha=0.45, linewidth=thick)
    axis.plot(x, middle, ".", color=COLORS[0], markersize=4, label=f"prediction, {level:.0%} interval")
    if targets is not None:
        y = targets[order, 0]
        inside = (y - middle).abs() <= width
        for mask, color, word in ((inside, INSIDE, "inside"), (~inside, OUTSIDE, "outside")):
            count = int(mask.sum())
            axis.plot(x[mask], y[mask], "o", color=color, markersize=3.2, label=f"target {word} ({count})")
    axis.set_xlim(-0.5 - 0.02 * len(order), len(order) - 0.5 + 0.02 * len(order))  # few bars are not cut off
    if len(order) <= FEW:
        axis.set_xticks(x.tolist(), [str(i) for i in x.tolist()])
    axis.set_xlabel("row, by its prediction")
    axis.set_ylabel(name or "target")
    axis.legend(loc="upper left")


def draw_coverage(axis: Axes, found: Mapping[str, Tensor]) -> None:
    """Draws observed against nominal coverage, a line for each of `found`: what `central_probability` returned."""
    levels = torch.tensor(LEVELS, dtype=torch.float64)
    axis.plot([0, 1], [0, 1], color="#7b8794", linewidth=1, linestyle=(0, (4, 3)))
    for color, (name, reached) in zip(COLORS, found.items(), strict=False):
        observed = coverage(reached, levels)
        error = float((observed - levels).abs().mean())
        label = f"{plain(name)} (error {error:.3f})"
        axis.plot(levels, observed, "-o", color=color, markersize=3, linewidth=1.6, label=label)
    axis.set_xlabel("nominal level of the interval")
    axis.set_ylabel("share of targets inside")
    axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axis.legend(loc="upper left")
