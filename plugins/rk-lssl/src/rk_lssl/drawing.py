"""Figures of the plugin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rk.charts import COLORS, chart, save


def draw_memory(delays: Sequence[int], curves: Mapping[str, Sequence[float]], path: Path) -> Path:
    """Draws R^2 by delay, one line for each name; returns the file."""
    with chart(4.8, 3.0) as (figure, axis):
        for i, (name, values) in enumerate(curves.items()):
            axis.plot(delays, values, marker="o", label=name, color=COLORS[i % len(COLORS)])
        axis.set_xlabel("delay (steps)")
        axis.set_ylabel("R² of a linear readout")
        axis.set_ylim(-0.02, 1.02)
        axis.legend()
        return save(figure, path)


def draw_rates(rates: Sequence[float], curves: Mapping[str, Sequence[float]], path: Path) -> Path:
    """Draws accuracy by how many steps are left out, one line for each name; returns the file."""
    with chart(4.2, 2.8) as (figure, axis):
        for i, (name, values) in enumerate(curves.items()):
            axis.plot(rates, values, marker="o", label=name, color=COLORS[i % len(COLORS)])
        axis.set_xscale("log", base=2)
        axis.set_xticks(rates, [f"1/{rate:g}" for rate in rates])
        axis.set_xlabel("share of the steps that is given")
        axis.set_ylabel("accuracy")
        axis.set_ylim(0, 1.02)
        axis.legend()
        return save(figure, path)
