"""Gradients by lag, on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rk.charts import COLORS, chart, save


def draw(curves: Mapping[str, Sequence[float]], path: Path, in_order: bool = False) -> Path:
    """Draws one line per curve into an image file; returns the file.

    Args:
        curves: Name -> norms, from lag 1.
        path: The file.
        in_order: The curves come one after the other: shades of one color, the last one the darkest.
    """
    with chart(4.8, 3.0) as (figure, axis):
        import matplotlib

        shades = matplotlib.colormaps["viridis_r"]
        for i, (name, norms) in enumerate(curves.items()):
            color = shades((i + 1) / len(curves)) if in_order else COLORS[i % len(COLORS)]
            axis.plot(range(1, len(norms) + 1), norms, color=color, linewidth=1.6, label=name)
        if any(norm > 0 for norms in curves.values() for norm in norms):
            axis.set_yscale("log")
        axis.set_xlabel("lag: steps before the loss")
        axis.set_ylabel("|dL/dS|")
        axis.legend()
        return save(figure, path)
