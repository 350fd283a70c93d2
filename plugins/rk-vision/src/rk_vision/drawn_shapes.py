"""Data `drawn-shapes`: generated images of discs, squares and triangles, with their masks."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from annotated_types import Ge
from jaxtyping import Bool, Float
from torch import Tensor

from rk.sampling import generator
from rk_vision.masks import MaskBatch, MaskData

NAMES = ("background", "disc", "square", "triangle")


class DrawnShapes(MaskData):
    """Discs, squares and triangles of random colours, places and sizes over a noisy gradient.

    Only the outline distinguishes the classes, not the colour. Images never repeat; a later shape hides the ones
    below it.

    Args:
        seed: Every image is a function of it.
        shapes: Most shapes in an image; at least one is there.
        turned: Whether shapes have random angles; else they are upright.
        noise: Standard deviation of the noise, for values from 0 to 1.
        num_batches: Batches of ``val`` and of ``test``.

    Examples:
        data: {name: drawn-shapes, size: [32, 32], shapes: 3}
    """

    def __init__(
        self,
        seed: int,
        shapes: Annotated[int, Ge(1)] = 2,
        turned: bool = False,
        noise: Annotated[float, Ge(0)] = 0.05,
        num_batches: Annotated[int, Ge(1)] = 8,
        **common: Any,
    ) -> None:
        super().__init__(seed, **common)
        self.shapes = shapes
        self.turned = turned
        self.noise = noise
        self.num_batches = num_batches
        self.names = list(NAMES)
        self.values = list(range(len(NAMES)))

    def batches(self, split: str) -> int | None:
        return None if split == "train" else self.num_batches

    def batch(self, split: str, i: int, stage: int = 0) -> MaskBatch:
        random = generator(self.seed, split, i)
        n, (height, width) = self.batch_size, self.size
        down = torch.arange(height).view(1, -1, 1) / height
        across = torch.arange(width).view(1, 1, -1) / width

        def draw(*shape: int) -> Tensor:
            return torch.rand(n, *shape, generator=random)

        slopes = draw(2, 1, 1) - 0.5
        images = (0.5 + slopes[:, 0] * down + slopes[:, 1] * across - slopes.sum(1) / 2).unsqueeze(1)
        images = images.repeat(1, self.channels, 1, 1)
        targets = torch.zeros(n, height, width, dtype=torch.int64)
        count = 1 + (draw() * self.shapes).long()
        for number in range(self.shapes):
            kind = 1 + (3 * draw()).long().clamp(max=2)
            angle = draw() * (math.tau if self.turned else 0.0)
            inside = _inside(kind, down, across, 0.15 + 0.7 * draw(2), 0.15 + 0.15 * draw(), angle)
            inside &= (number < count).view(-1, 1, 1)
            images = torch.where(inside.unsqueeze(1), draw(self.channels, 1, 1), images)
            targets = torch.where(inside, kind.view(-1, 1, 1), targets)
        noise = torch.randn(images.shape, generator=random)
        return {"inputs": (images + self.noise * noise).clamp(0, 1), "targets": targets}


def _inside(
    kind: Tensor, down: Tensor, across: Tensor, centre: Float[Tensor, "n 2"], radius: Tensor, angle: Tensor
) -> Bool[Tensor, "n height width"]:
    """Returns which pixels a shape covers.

    Args:
        kind: (n,), 1 for a disc, 2 for a square, 3 for a triangle.
        down: Rows, from 0 to 1.
        across: Columns, from 0 to 1.
        centre: Row and column.
        radius: (n,), from the centre to the edge of a disc; squares and triangles cover about as much.
        angle: (n,), in radians.
    """
    y, x = down - centre[:, :1, None], across - centre[:, 1:, None]
    cos, sin = angle.cos().view(-1, 1, 1), angle.sin().view(-1, 1, 1)
    u, v, r = cos * x + sin * y, cos * y - sin * x, radius.view(-1, 1, 1)
    disc = u.square() + v.square() < r.square()
    square = torch.maximum(u.abs(), v.abs()) < 0.886 * r
    side = 0.78 * r  # of the inner circle: a triangle with the area of the disc
    triangle = torch.maximum(torch.maximum(0.866 * u - 0.5 * v, -0.866 * u - 0.5 * v), v) < side
    kinds = kind.view(-1, 1, 1)
    return torch.where(kinds == 1, disc, torch.where(kinds == 2, square, triangle))
