"""The style of charts, of rk and of plugins. matplotlib is loaded on first use, and only its object API is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rk.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLORS", "chart", "draw_lines", "plain", "save"]

COLORS = ("#3b82c4", "#d97a1f", "#2f9e63", "#d0484b", "#8a63c7", "#9a6b4f", "#cf6fb0", "#7d858c")
"""Colours of medium lightness, visible on light and on dark backgrounds."""
STYLE = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.18,
    "svg.fonttype": "none",
    "legend.frameon": False,
    "legend.fontsize": 8,
}
ENDINGS = (".svg", ".png", ".pdf")


def plain(text: str) -> str:
    """Returns `text` for a label or a title: matplotlib shows a ``$`` in it instead of reading a formula."""
    return text.replace("$", r"\$")


@contextmanager
def chart(width: float, height: float, rows: int = 1, columns: int = 1, **settings: Any) -> Iterator[list[Any]]:
    """Yields a figure and its axes, row by row, in the style of all charts.

    ``with chart(4.8, 3.0) as (figure, axis):`` draws one, and `save` writes it, still within.

    Args:
        width: Of the figure, in inches.
        height: Of the figure, in inches.
        rows: Of axes.
        columns: Of axes.
        settings: For ``Figure.subplots``; ``style``: matplotlib's settings besides `STYLE`.

    Raises:
        UserError: When matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError("charts need matplotlib", 'pip install "recursion-kit[report]"') from None
    style: Any = {**STYLE, **settings.pop("style", {})}  # Any: whatever a setting of matplotlib takes
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield [figure, *figure.subplots(rows, columns, squeeze=False, **settings).flat]


def draw_lines(
    axis: Axes, curves: Mapping[str, Sequence[float]], colors: Sequence[Any] = COLORS, **settings: Any
) -> None:
    """Draws a line per curve over 1, 2, 3, ..., and a legend of their names.

    Args:
        axis: One of those that `chart` yields.
        curves: Name -> values.
        colors: Of the curves, in their order; reused from the first where there are more curves.
        settings: For ``Axes.plot``.
    """
    for i, (name, values) in enumerate(curves.items()):
        style = {"color": colors[i % len(colors)], "linewidth": 1.6, **settings}
        axis.plot(range(1, len(values) + 1), values, label=plain(name), **style)
    axis.legend()


def save(figure: Figure, out: Path) -> Path:
    """Writes a figure and returns its file; a name without the ending of an image gets .png.

    Raises:
        UserError: When the file cannot be written.
    """
    path = out if out.suffix in ENDINGS else out.with_name(f"{out.name}.png")
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
    return path
