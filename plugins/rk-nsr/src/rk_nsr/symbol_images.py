"""Images of symbols, 8 x 8: digits that people wrote, and operators and brackets that are drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rk import UserError
from rk.sampling import generator

SIDE = 8
DRAWN = 200
"""Drawings of each operator and bracket for training; validation and test have half as many."""
CURVE = [(math.cos(angle), math.sin(angle)) for angle in (2.1, 2.5, 2.9, 3.4, 3.8, 4.2)]
STROKES: dict[str, list[list[tuple[float, float]]]] = {
    "+": [[(-0.8, 0), (0.8, 0)], [(0, -0.8), (0, 0.8)]],
    "-": [[(-0.8, 0), (0.8, 0)]],
    "*": [[(-0.6, -0.6), (0.6, 0.6)], [(-0.6, 0.6), (0.6, -0.6)]],
    "/": [[(-0.5, 0.8), (0.5, -0.8)]],
    "(": [[(0.7 + x, 0.95 * y) for x, y in CURVE]],
    ")": [[(-0.7 - x, 0.95 * y) for x, y in CURVE]],
}
"""Symbol -> lines through points (right, down), the middle is 0 and the edges are 1."""


class Gallery:
    """Images of each symbol.

    Args:
        images: Of each symbol, (images, 8, 8), 0 for the ground to 1 for ink.
    """

    def __init__(self, images: Sequence[Float[Tensor, "images 8 8"]]) -> None:
        self.counts = torch.tensor([len(one) for one in images])
        self.starts = self.counts.cumsum(0) - self.counts
        self.images = torch.cat(list(images))

    def draw(self, symbols: Int[Tensor, "count"], draws: torch.Generator) -> Float[Tensor, "count 8 8"]:
        """Returns a random image of each symbol."""
        chosen = torch.rand(len(symbols), generator=draws) * self.counts[symbols]
        return self.images[self.starts[symbols] + chosen.long()]


def gallery(symbols: Sequence[str]) -> dict[str, Gallery]:
    """Returns the images for ``train``, ``val`` and ``test``; which ones does not depend on the seed.

    Args:
        symbols: Digits, and keys of `STROKES`.

    Raises:
        UserError: When scikit-learn is not installed, which has the digits.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise UserError("the images of hint-images need scikit-learn", 'pip install "rk-nsr[images]"') from None
    pixels, labels = load_digits(return_X_y=True)
    images = torch.tensor(pixels, dtype=torch.float32).view(-1, SIDE, SIDE) / 16
    targets = torch.tensor(labels)
    order = torch.randperm(len(targets), generator=generator("hint", "digits"))
    parts = dict(zip(("train", "val", "test"), order.split([1197, 300, 300]), strict=True))
    found = {}
    for name, chosen in parts.items():
        count = DRAWN if name == "train" else DRAWN // 2
        found[name] = Gallery(
            [
                images[chosen[targets[chosen] == int(symbol)]] if symbol.isdigit() else drawn(symbol, count, name)
                for symbol in symbols
            ]
        )
    return found


def drawn(symbol: str, count: int, part: str) -> Float[Tensor, "count 8 8"]:
    """Returns drawings of a symbol: turned, moved, of different sizes and widths of the line.

    Args:
        symbol: A key of `STROKES`.
        count: How many.
        part: Other drawings for each.
    """
    draws = generator("hint", symbol, part)

    def uniform(least: float, most: float) -> Tensor:
        return least + (most - least) * torch.rand(count, generator=draws)

    angle, size, width = uniform(-0.2, 0.2), uniform(0.65, 1.0), uniform(0.12, 0.28)
    right, down = uniform(-0.2, 0.2), uniform(-0.2, 0.2)
    centres = (torch.arange(SIDE) + 0.5) / SIDE * 2 - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    # the pixels in the symbol's own coordinates, (count, 8, 8)
    x, y = (x - right[:, None, None]) / size[:, None, None], (y - down[:, None, None]) / size[:, None, None]
    cosine, sine = angle.cos()[:, None, None], angle.sin()[:, None, None]
    x, y = cosine * x + sine * y, cosine * y - sine * x
    distance = torch.full_like(x, torch.inf)
    for stroke in STROKES[symbol]:
        for (x0, y0), (x1, y1) in pairwise(stroke):
            along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / ((x1 - x0) ** 2 + (y1 - y0) ** 2)
            along = along.clamp(0, 1)
            near = (x - x0 - along * (x1 - x0)) ** 2 + (y - y0 - along * (y1 - y0)) ** 2
            distance = torch.minimum(distance, near.sqrt())
    ink = (1 - (distance - width[:, None, None]).clamp(min=0) / 0.2).clamp(min=0)
    return ink * uniform(0.7, 1.0)[:, None, None]
