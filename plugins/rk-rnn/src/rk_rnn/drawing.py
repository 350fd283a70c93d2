"""Gradients by lag, on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rk.charts import COLORS, chart, draw_lines, save


def draw(curves: Mapping[str, Sequence[float]], path: Path, in_order: bool = False) -> Path:
    """Draws one line per curve into an image file; returns the file.

    Args:
        curves: Name -> norms, from lag 1.
        path: The file.
        in_order: The curves come one after the other: shades of one color, the last one the darkest.
    """
    with chart(4.8, 3.0) as (figure, axis):
        draw_lines(axis, curves, _shades(len(curves)) if in_order else COLORS)
        if any(norm > 0 for norms in curves.values() for norm in norms):
            axis.set_yscale("log")
        axis.set_xlabel("lag: steps before the loss")
        axis.set_ylabel("|dL/dS|")
        return save(figure, path)


def _shades(count: int) -> list[tuple[float, ...]]:
    """Returns so many shades of one color, the last one the darkest."""
    import matplotlib

    shades = matplotlib.colormaps["viridis_r"]
    return [shades((i + 1) / count) for i in range(count)]
