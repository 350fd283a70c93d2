"""Shapes of images: grey ones may come without a channel."""

from __future__ import annotations

from torch import Tensor


def picture_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Returns (channels, height, width). Raises `ValueError` for any other shape."""
    if len(shape) == 2:
        shape = (1, *shape)
    if len(shape) != 3:
        raise ValueError(f"expected images, (channels, height, width) or (height, width), got {tuple(shape)}")
    return shape[0], shape[1], shape[2]


def as_picture(x: Tensor) -> Tensor:
    """Returns (batch, channels, height, width) of images with or without channels."""
    return x.unsqueeze(1) if x.ndim == 3 else x
