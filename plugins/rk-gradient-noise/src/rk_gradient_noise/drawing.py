"""The curves of all members: thin lines, and their mean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rk_gradient_noise.curves import Curves

COLORS = ("#3b82c4", "#d97a1f")
"""Of middling lightness: they show on light and on dark ground."""


def draw(panels: Mapping[str, Curves], path: Path) -> Path:
    """Draws a panel per title, side by side with a common scale, into an image file; returns the file."""
    import matplotlib
    from matplotlib.figure import Figure

    style = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(4.6 * len(panels), 3.0), layout="constrained")
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axis, color, (title, curves) in zip(axes, COLORS, panels.items(), strict=False):
            _panel(axis, color, title, curves)
        axes[0].set_ylabel("accuracy")
        axes[0].set_ylim(0, 1)
        figure.savefig(path, dpi=150)
    return path


def _panel(axis: Axes, color: str, title: str, curves: Curves) -> None:
    for member in zip(*curves.accuracies, strict=True):
        axis.plot(curves.steps, member, color=color, linewidth=0.9, alpha=0.5)
    mean = [fmean(row) for row in curves.accuracies]
    axis.plot(curves.steps, mean, color=color, linewidth=2.2, label=f"mean of {len(curves.accuracies[0])} members")
    axis.set_title(title, loc="left", fontsize=10)
    axis.set_xlabel("step")
    axis.grid(alpha=0.18)
    axis.legend(fontsize=8, loc="upper left")
