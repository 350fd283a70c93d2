"""Figures: answers against right answers, and curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rk.charts import COLORS, chart, plain, save


def draw_answers(right: Sequence[int], found: Sequence[int], path: Path) -> Path:
    """Draws each answer against the right one into an image file; returns the file."""
    with chart(3.6, 3.4) as (figure, axis):
        top = max(1, *right, *found)
        axis.plot([0, top], [0, top], color="#6b7280", linestyle=":", linewidth=1)
        axis.scatter(right, found, s=12, alpha=0.6, color=COLORS[0])
        axis.set_xlabel("right answer")
        axis.set_ylabel("answer")
        return save(figure, path)


def draw_curves(
    curves: Mapping[str, Sequence[float]],
    at: Sequence[float],
    path: Path,
    *,
    across: str,
    up: str,
    log: bool = False,
    trained: float | None = None,
) -> Path:
    """Draws one line per curve into an image file; returns the file.

    Args:
        curves: Name -> values.
        at: Where they are on the axis across.
        path: The file.
        across: Label of the axis across.
        up: Label of the other axis.
        log: Whether the axis up is logarithmic, where anything is above 0. Else the one across has a logarithm to base
            2.
        trained: Marked on the axis across: the largest value in training.
    """
    with chart(5.2, 3.2) as (figure, axis):
        for i, (name, values) in enumerate(curves.items()):
            axis.plot(at, values, label=plain(name), color=COLORS[i % len(COLORS)], marker="o", markersize=3)
        axis.legend()
        if trained is not None:
            axis.axvline(trained, color="#6b7280", linestyle=":", linewidth=1)
        if not log:
            axis.set_xscale("log", base=2)
            axis.set_xticks(at, [str(x) for x in at])
        elif any(value > 0 for values in curves.values() for value in values):
            axis.set_yscale("log")
        axis.set_xlabel(across)
        axis.set_ylabel(up)
        return save(figure, path)
