"""A chart of accuracy by position in the sequence."""

from __future__ import annotations

from pathlib import Path

from jaxtyping import Bool
from torch import Tensor

from rk.charts import COLORS, chart, save


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
    with chart(5.2, 2.6) as (figure, axis):
        for label, values, color in (("this step", share, COLORS[0]), ("all steps up to it", until, COLORS[1])):
            places = [s for s, kept in zip(steps, asked.tolist(), strict=True) if kept]
            axis.plot(places, values[asked].tolist(), color=color, linewidth=1.6, label=label)
        axis.set_ylim(-0.02, 1.02)
        axis.set_xlabel("step")
        axis.set_ylabel(f"share right of {len(right)}")
        axis.legend()
        return save(figure, out)
