"""The curves of all members: thin lines, and their mean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from rk.charts import COLORS, chart, plain, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rk.authoring import Record


def draw(panels: Mapping[str, Record], path: Path) -> Path:
    """Draws a panel per title, side by side with a common scale, into an image file; returns the file."""
    with chart(4.6 * len(panels), 3.0, columns=len(panels), sharey=True) as (figure, *axes):
        for axis, color, (title, record) in zip(axes, COLORS, panels.items(), strict=False):
            _panel(axis, color, title, record)
        axes[0].set_ylabel("accuracy")
        axes[0].set_ylim(0, 1)
        return save(figure, path)


def _panel(axis: Axes, color: str, title: str, record: Record) -> None:
    for member in zip(*record.rows, strict=True):
        axis.plot(record.steps, member, color=color, linewidth=0.9, alpha=0.5)
    mean = [fmean(row) for row in record.rows]
    axis.plot(record.steps, mean, color=color, linewidth=2.2, label=f"mean of {len(record.rows[0])} members")
    axis.set_title(plain(title), loc="left", fontsize=10)
    axis.set_xlabel("step")
    axis.legend(loc="upper left")
