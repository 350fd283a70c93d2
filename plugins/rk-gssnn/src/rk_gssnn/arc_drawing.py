"""Figures of pairs of coloured grids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from rk.charts import chart, plain, save

PALETTE = ("#1b1b1b", "#1e6fd9", "#e5484d", "#30a46c", "#f5d90a", "#8b8d98", "#d6409f", "#f76b15", "#7ce2fe", "#9b1c31")
"""Colours 0 to 9; what no grid covers is white."""


def draw_grids(
    images: Float[Tensor, "n colors height width"], captions: Sequence[str], right: Sequence[bool] | None, out: Path
) -> Path:
    """Draws images of pairs, four in a row.

    Args:
        images: (n, 10, height, width), one for the colour of a cell.
        captions: Of each.
        right: Whether each caption is right; None: it is not known.
        out: The file.
    """
    from matplotlib.colors import ListedColormap

    columns = min(4, len(captions))
    lines = -(-len(captions) // columns)
    colors = ListedColormap(["#ffffff", *PALETTE])
    with chart(2.0 * columns, 3.1 * lines, lines, columns) as (figure, *axes):
        for axis in axes:
            axis.set_axis_off()
        for i, (axis, caption) in enumerate(zip(axes, captions, strict=False)):
            cells = (images[i].argmax(0) + 1) * (images[i].sum(0) > 0)
            axis.imshow(cells.cpu().numpy(), cmap=colors, vmin=0, vmax=10, interpolation="nearest")
            axis.set_title(
                plain(caption), fontsize=8, color="black" if right is None else "green" if right[i] else "red"
            )
        return save(figure, out)
