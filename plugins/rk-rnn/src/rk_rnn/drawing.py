"""Gradients by lag, on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

COLORS = ("#3b82c4", "#d97a1f")
"""Of middling lightness: they show on light and on dark ground."""


def draw(curves: Mapping[str, Sequence[float]], path: Path, in_order: bool = False) -> Path:
    """Draws one line per curve into an image file; returns the file.

    Args:
        curves: Name -> norms, from lag 1.
        path: The file.
        in_order: The curves come one after the other: shades of one color, the last one the darkest.
    """
    import matplotlib
    from matplotlib.figure import Figure

    style = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(4.8, 3.0), layout="constrained")
        axis = figure.subplots()
        shades = matplotlib.colormaps["viridis_r"]
        for i, (name, norms) in enumerate(curves.items()):
            color = shades((i + 1) / len(curves)) if in_order else COLORS[i % len(COLORS)]
            axis.plot(range(1, len(norms) + 1), norms, color=color, linewidth=1.6, label=name)
        if any(norm > 0 for norms in curves.values() for norm in norms):
            axis.set_yscale("log")
        axis.set_xlabel("lag: steps before the loss")
        axis.set_ylabel("|dL/dS|")
        axis.grid(alpha=0.18)
        axis.legend(fontsize=8)
        figure.savefig(path, dpi=130)
    return path
