"""Where in a sequence answers are right, as a chart."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from jaxtyping import Bool
from matplotlib.figure import Figure
from torch import Tensor

COLORS = ("#3b82c4", "#d97a1f")
"""Of middling lightness: they show on light and on dark ground."""


def draw_positions(right: Bool[Tensor, "batch time"], counts: Bool[Tensor, "batch time"], out: Path) -> Path:
    """Draws, step by step, the share of right answers and the share of sequences that have been right until there.

    Args:
        right: Which answers are right.
        counts: Which steps have a target; a step without one spoils nothing.
        out: What the file's name begins with.
    """
    steps = range(1, right.shape[1] + 1)
    asked = counts.any(0)
    share = (right & counts).sum(0) / counts.sum(0).clamp(min=1)
    until = (right | ~counts).long().cumprod(1).float().mean(0)
    style = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(5.2, 2.6), layout="constrained")
        axis = figure.subplots()
        for label, values, color in (("this step", share, COLORS[0]), ("all steps up to it", until, COLORS[1])):
            places = [s for s, kept in zip(steps, asked.tolist(), strict=True) if kept]
            axis.plot(places, values[asked].tolist(), color=color, linewidth=1.6, label=label)
        axis.set_ylim(-0.02, 1.02)
        axis.set_xlabel("step")
        axis.set_ylabel(f"share right of {len(right)}")
        axis.grid(alpha=0.18)
        axis.legend(fontsize=8)
        path = out if out.suffix in (".png", ".svg", ".pdf") else out.with_name(f"{out.name}.png")
        figure.savefig(path, dpi=130)
    return path
