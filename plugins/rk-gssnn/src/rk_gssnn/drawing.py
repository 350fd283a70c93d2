"""Images of matrices: regular polygons in panels, drawn for all matrices at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rk_gssnn.rules import Matrix

MOST = 4
"""Most shapes of a component in a panel."""
_PLACES = {
    "one": [[(0.5, 0.5)]],
    "grid": [[(0.26, 0.26), (0.26, 0.74), (0.74, 0.26), (0.74, 0.74)]],
    "left-right": [[(0.5, 0.26)], [(0.5, 0.74)]],
    "up-down": [[(0.26, 0.5)], [(0.74, 0.5)]],
    "in-out": [[(0.5, 0.5)], [(0.5, 0.5)]],
}
_RADII = {"one": (0.36,), "grid": (0.19,), "left-right": (0.2, 0.2), "up-down": (0.2, 0.2), "in-out": (0.44, 0.2)}


def draw(matrices: Sequence[Matrix], size: int) -> Float[Tensor, "matrices 1 size size"]:
    """Returns grey images from -1 (black) to 1 (white).

    Panels are separated by black lines. Shapes have a black outline; colour 0 is white, 9 is black.

    Args:
        matrices: The matrices.
        size: Pixels a side; a third of it is a panel.
    """
    side = size // 3
    grid = (np.arange(side) + 0.5) / side
    y, x = grid[:, None], grid[None, :]
    count = len(matrices)
    panels = np.empty((count, 3, 3, side, side), dtype=np.float32)
    panels[:] = np.array([m.background for m in matrices], dtype=np.float32)[:, None, None, None, None]
    for part in range(2):
        for slot in range(MOST):
            shown = [
                i for i, m in enumerate(matrices) if part < len(m.components) and slot < len(_PLACES[m.layout][part])
            ]
            if not shown:
                continue
            some = [(matrices[i].layout, matrices[i].components[part]) for i in shown]
            there = np.stack([one.number > slot for _, one in some])[..., None, None]
            place = np.array([_PLACES[layout][part][slot] for layout, _ in some])[:, :, None, None, None, None]
            radius = np.array([_RADII[layout][part] for layout, _ in some])[:, None, None, None, None]
            turn = np.array([one.turn for _, one in some])[:, None, None, None, None]
            sides = 3 + np.stack([one.sides for _, one in some])[..., None, None]
            grey = np.maximum(0, 255 - 28.4 * np.stack([one.color for _, one in some]))[..., None, None]
            down, across = y - place[:, 0], x - place[:, 1]
            sector = 2 * np.pi / sides
            angle = (np.arctan2(down, across) + turn) % sector - sector / 2
            reach = np.hypot(down, across) * np.cos(angle) / np.cos(sector / 2)  # 1 at the outline of the polygon
            before = panels[shown]
            inside = there & (reach < radius)
            edge = inside & (reach > radius - 1.2 / side)
            panels[shown] = np.where(edge, 0, np.where(inside, grey, before))
    images = np.zeros((count, size, size), dtype=np.float32)
    images[:] = np.array([m.background for m in matrices], dtype=np.float32)[:, None, None]
    images[:, : 3 * side, : 3 * side] = panels.transpose(0, 1, 3, 2, 4).reshape(count, 3 * side, 3 * side)
    for line in (side, 2 * side):
        images[:, line, : 3 * side] = 0
        images[:, : 3 * side, line] = 0
    return torch.from_numpy(images / 127.5 - 1).unsqueeze(1)
