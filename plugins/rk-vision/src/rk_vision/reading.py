"""A user's images, brought to the size and the looks of the training images."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from rk import UserError
from rk.images import ink, read_image

DIGIT, FRAME = 20, 28
"""MNIST's digits fit into 20 x 20 and are centred by their mass in 28 x 28."""
FAINT = 0.1
"""Ink below this is ground when a digit is cut out."""
LONGEST = 1000
"""Pixels of a photograph's longer side that are more than enough to find a digit."""
DIGIT_STEPS = {"max_side": LONGEST, "above": FAINT, "fit": DIGIT, "resample": "bilinear", "center": "mass"}
"""`read_digit` as plain JSON, for ``Data.preprocessing``: what is done in place of a resize."""


def read_colored(path: Path, size: tuple[int, int]) -> Float[Tensor, "3 height width"]:
    """Returns an image of `size` (height, width) in colour, from 0 to 1."""
    return read_image(path, 3, size)


def read_grey(path: Path, size: tuple[int, int]) -> Float[Tensor, "1 height width"]:
    """Returns an image of `size` (height, width), 0 for the ground to 1 for ink, whichever of them is dark."""
    return ink(read_image(path, 1, size)[0]).unsqueeze(0)


def read_digit(path: Path) -> Float[Tensor, "1 28 28"]:
    """Returns a digit as MNIST has them: cut out, scaled to fit 20 x 20, its centre of mass in the middle of 28 x 28.

    Raises:
        rk.UserError: When the file is not an image, or an empty one.
    """
    values = ink(read_image(path, 1, longest=LONGEST)[0])
    inked = values > FAINT
    if not inked.any():
        raise UserError(f"{path}: an empty image", "a digit is dark on light ground, or the reverse")
    down, across = inked.any(1).nonzero(), inked.any(0).nonzero()
    digit = values[int(down[0]) : int(down[-1]) + 1, int(across[0]) : int(across[-1]) + 1]
    scale = DIGIT / max(digit.shape)
    size = [max(1, round(side * scale)) for side in digit.shape]
    digit = F.interpolate(digit[None, None], size, mode="bilinear", antialias=True)[0, 0].clamp(0, 1)
    return _centred(digit).unsqueeze(0)


def _centred(digit: Tensor) -> Tensor:
    """Returns `digit` in a frame of 28 x 28, with its centre of mass as near to the middle as its edges allow."""
    frame = torch.zeros(FRAME, FRAME)
    corner = []
    for axis, side in enumerate(digit.shape):
        mass = digit.sum(1 - axis)
        middle = float((mass * torch.arange(side)).sum() / mass.sum())
        corner.append(min(max(0, round((FRAME - 1) / 2 - middle)), FRAME - side))
    top, left = corner
    frame[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    return frame
