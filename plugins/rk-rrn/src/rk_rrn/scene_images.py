"""Images of Pretty-CLEVR scenes: coloured markers on white."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from rk_rrn.scenes import MARKERS, Scenes

RGB = ((0, 0, 1), (0, 0.5, 0), (1, 0, 0), (0, 0.75, 0.75), (0.75, 0, 0.75), (0.75, 0.75, 0), (0, 0, 0), (0.5, 0.5, 0.5))
"""Of each colour, as matplotlib has them."""
RADIUS = 4.0
"""Of a marker, in pixels of an image with 128 a side."""
LOW, HIGH = -0.1, 1.1
"""What the image shows of both axes."""


def draw_images(scenes: Scenes, size: int = 128) -> Float[Tensor, "b 3 size size"]:
    """Returns antialiased images of scenes, from 0 to 1; y grows upwards.

    Args:
        scenes: (b, n) objects.
        size: Pixels a side.
    """
    count, objects, _ = scenes.places.shape
    images = torch.ones(count, 3, size, size)
    pixels = torch.arange(size) + 0.5
    colours = torch.tensor(RGB)[scenes.colours]
    middles = (scenes.places - LOW) / (HIGH - LOW) * size
    for k in range(objects):
        x = (pixels - middles[:, k, 0:1]).unsqueeze(1)  # to the right of the middle, (b, 1, size)
        y = (size - pixels - middles[:, k, 1:2]).unsqueeze(2)  # above it, (b, size, 1)
        inside = _inside(x, y, scenes.markers[:, k], RADIUS * size / 128).unsqueeze(1)
        images = images * (1 - inside) + colours[:, k].view(-1, 3, 1, 1) * inside
    return images


def _inside(x: Tensor, y: Tensor, markers: Tensor, radius: float) -> Float[Tensor, "b size size"]:
    """Returns how much of each pixel a marker covers, from its signed distance in pixels."""
    x, y = torch.broadcast_tensors(x, y)
    distance = torch.empty_like(x)
    for number, marker in enumerate(MARKERS):
        rows = markers == number
        distance[rows] = _distance(x[rows], y[rows], marker, radius)
    return (0.5 - distance).clamp(0, 1)


def _distance(x: Tensor, y: Tensor, marker: str, r: float) -> Tensor:
    """Returns about how far a pixel is outside of a marker's edge; negative inside."""
    if marker == "o":
        return (x.square() + y.square()).sqrt() - r
    if marker == "s":
        return torch.maximum(x.abs(), y.abs()) - 0.9 * r
    if marker in "v^<>":
        along, across = {"^": (y, x), "v": (-y, x), ">": (x, y), "<": (-x, y)}[marker]
        return torch.maximum(-along - r, (along + 2 * across.abs() - r) / 5**0.5)
    if marker == "X":
        x, y = (x + y) / 2**0.5, (x - y) / 2**0.5
    long, short = torch.maximum(x.abs(), y.abs()), torch.minimum(x.abs(), y.abs())
    return torch.maximum(long - r, short - r / 3)
