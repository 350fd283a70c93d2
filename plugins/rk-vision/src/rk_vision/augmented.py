"""The data wrapper `augmented`: training images that are shifted, turned, mirrored and partly erased at random."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor
from torch.nn import functional

from rk import UserError
from rk.protocols import Batch, Data
from rk.sampling import generator
from rk.wrappers import DataWrapper

STREAM = 7
"""Sets these random numbers apart from those that order the batches."""


class Augmented(DataWrapper):
    """Any image data whose training images change from epoch to epoch. Validation and tests are unchanged.

    Images move over a ground of zeros. Every image of a batch is changed separately, which depend on the seed and the
    number of the batch alone: a resumed run sees the same images.

    Args:
        base: Image data: ``inputs`` of (batch, height, width) or (batch, channels, height, width).
        seed: Seeds the changes.
        shift: Moves an image by up to so many pixels, up or down and left or right (He et al., arXiv:1512.03385,
            Sec. 4.2: 4 on CIFAR-10).
        rotate: Turns it by up to so many degrees either way.
        mirror: Swaps left and right in half of the images.
        erase: Side of a square of zeros at a random place, in pixels (cutout, arXiv:1708.04552).

    Examples:
        data: {name: augmented, base: {name: mnist, train_limit: 300}, shift: 2, rotate: 15}
    """

    def __init__(
        self,
        base: Data,
        seed: int,
        shift: Annotated[int, Ge(0)] = 0,
        rotate: Annotated[float, Ge(0), Le(180)] = 0.0,
        mirror: bool = False,
        erase: Annotated[int, Ge(0)] = 0,
    ) -> None:
        super().__init__(base)
        if not (shift or rotate or mirror or erase):
            raise ValueError("augmented changes nothing: give shift, rotate, mirror or erase")
        self.seed = seed
        self.shift = shift
        self.rotate = rotate
        self.mirror = mirror
        self.erase = erase

    def batch(self, split: str, i: int, stage: int = 0) -> Batch:
        """Returns batch `i` of the base; that of the training split with changed images."""
        batch = super().batch(split, i, stage)
        if split != "train":
            return batch
        images = batch.get("inputs")
        if not isinstance(images, Tensor) or images.ndim not in (3, 4):
            shape = None if images is None else tuple(images.shape)
            raise UserError(
                f"augmented: inputs must be images (batch, [channels,] height, width), got {shape}",
                "leave augmented out, or choose image data: rk list data",
            )
        targets = batch.get("targets")
        if isinstance(targets, Tensor) and targets.ndim > 2:
            raise UserError("augmented: targets are masks, which would stay as they are", "leave augmented out")
        changed = self.changed(images if images.ndim == 4 else images.unsqueeze(1), generator(self.seed, STREAM, i))
        return {**batch, "inputs": changed.reshape(images.shape)}

    def changed(self, images: Tensor, random: torch.Generator) -> Tensor:
        """Returns images (batch, channels, height, width), each changed at random."""
        if self.rotate:
            most = math.radians(self.rotate)
            images = turned(images, (2 * torch.rand(len(images), generator=random) - 1) * most)
        if self.shift:
            by = torch.randint(-self.shift, self.shift + 1, (len(images), 2), generator=random)
            images = shifted(images, by)
        if self.mirror:
            swapped = torch.rand(len(images), generator=random) < 0.5
            images = torch.where(swapped.view(-1, 1, 1, 1), images.flip(-1), images)
        if self.erase:
            centres = torch.rand(len(images), 2, generator=random) * torch.tensor(images.shape[-2:])
            images = erased(images, centres.long(), self.erase)
        return images


def turned(images: Tensor, angles: Tensor) -> Tensor:
    """Returns images (batch, channels, height, width) turned about their centres, bilinear.

    Args:
        images: Square or not; what comes from outside is zero.
        angles: (batch,), in radians, anticlockwise.
    """
    height, width = images.shape[-2:]
    cos, sin, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    # affine_grid's axes run from -1 to 1 along both sides: on a wide image, a turn is not a turn without the ratio
    rows = [torch.stack([cos, -sin * height / width, zero], -1), torch.stack([sin * width / height, cos, zero], -1)]
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def shifted(images: Tensor, by: Tensor) -> Tensor:
    """Returns images (batch, channels, height, width) moved down and right by (batch, 2) pixels; zeros move in."""
    n, channels, height, width = images.shape
    most = int(by.abs().max())
    padded = functional.pad(images, [most] * 4)
    rows = (torch.arange(height) + most - by[:, :1]).view(n, 1, height, 1).expand(-1, channels, -1, padded.shape[-1])
    columns = (torch.arange(width) + most - by[:, 1:]).view(n, 1, 1, width).expand(-1, channels, height, -1)
    return padded.gather(-2, rows).gather(-1, columns)


def erased(images: Tensor, centres: Tensor, side: int) -> Tensor:
    """Returns images (batch, channels, height, width) with a square of zeros each, cut where it leaves the image.

    Args:
        images: The images.
        centres: (batch, 2), row and column.
        side: Side of the square, in pixels.
    """
    first = (centres - side // 2).unsqueeze(-1)
    rows, columns = torch.arange(images.shape[-2]), torch.arange(images.shape[-1])
    in_rows = (rows >= first[:, 0]) & (rows < first[:, 0] + side)
    in_columns = (columns >= first[:, 1]) & (columns < first[:, 1] + side)
    hole = in_rows.unsqueeze(-1) & in_columns.unsqueeze(-2)
    return images.masked_fill(hole.unsqueeze(1), 0.0)
