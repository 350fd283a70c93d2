"""Figures of forecasts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rk.charts import COLORS, chart, plain, save

SHOWN = 6


def draw_forecasts(
    names: Sequence[str],
    stamps: Sequence[np.ndarray],
    history: np.ndarray,
    values: np.ndarray,
    truth: np.ndarray | None,
    out: Path,
) -> Path:
    """Draws up to six windows of a batch, one of each series where there are several; returns the file.

    Args:
        names: Of the series, one for each window.
        stamps: The dates of each window and its horizon, datetime64.
        history: (windows, window), in the unit of the file.
        values: (windows, horizon), the forecasts.
        truth: (windows, horizon), NaN where it is not known; None: nothing is known.
        out: The file.
    """
    shown = _chosen(names)
    rows = -(-len(shown) // 2) if len(shown) > 1 else 1
    columns = min(2, len(shown))
    with chart(4.6 * columns, 2.1 * rows, rows, columns) as (figure, *axes):
        for axis, i in zip(axes, shown, strict=False):
            window = history.shape[1]
            past, ahead = stamps[i][:window], stamps[i][window:]
            axis.plot(past, history[i], color=COLORS[-1], linewidth=1.2, label="given")
            if truth is not None:
                axis.plot(ahead, truth[i], color=COLORS[2], linewidth=1.4, label="truth")
            axis.plot(ahead, values[i], color=COLORS[1], linewidth=1.6, label="forecast")
            axis.axvline(ahead[0], color=COLORS[-1], linewidth=0.6, linestyle=":")
            axis.set_title(plain(names[i]), fontsize=8)
            axis.tick_params(axis="x", labelsize=7, rotation=20)
        for axis in axes[len(shown) :]:
            axis.set_visible(False)
        axes[0].legend()
        return save(figure, out)


def _chosen(names: Sequence[str]) -> list[int]:
    """Returns the windows to draw: the first of each series; of a single series, some at equal distances."""
    first: dict[str, int] = {}
    for i, name in enumerate(names):
        first.setdefault(name, i)
    if len(first) > 1:
        return list(first.values())[:SHOWN]
    return sorted({round(i) for i in np.linspace(0, len(names) - 1, min(4, len(names)))})
