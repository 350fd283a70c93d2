"""The order of an image's numbers in which a hierarchy of square patches is one of intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


def image_size(input_shape: Sequence[int]) -> tuple[int, int, int]:
    """Returns channels, height and width of images of (height, width) or (channels, height, width).

    Raises:
        ValueError: For any other shape.
    """
    if len(input_shape) == 2:
        return 1, input_shape[0], input_shape[1]
    if len(input_shape) != 3:
        raise ValueError(f"input_shape must be that of images, (height, width) or with channels, got {input_shape}")
    return input_shape[0], input_shape[1], input_shape[2]


def check_sides(input_shape: Sequence[int], sides: Sequence[int]) -> None:
    """Raises `ValueError` where squares of these sides do not divide the images."""
    _, height, width = image_size(input_shape)
    if not sides or min(sides) < 1 or height % math.prod(sides) or width % math.prod(sides):
        raise ValueError(f"filter_sizes must divide images of {height} x {width}, got {tuple(sides)}")


def tree_order(input_shape: Sequence[int], sides: Sequence[int]) -> Tensor:
    """Returns numbers of the flat image, (features,): each patch of each layer is an interval in this order.

    Patches that do not overlap form a tree, and a tree has no dimension: once its leaves are in order, the kernel and
    the network of images are those of vectors, with the filter sizes of `interval_sizes`.

    Args:
        input_shape: (height, width) or (channels, height, width).
        sides: s_1 ... s_L: a filter of layer l sees s_l x s_l units of the layer before.
    """
    check_sides(input_shape, sides)
    channels, height, width = image_size(input_shape)
    block, layers = math.prod(sides), len(sides)
    outer = list(reversed(sides))
    split = torch.arange(channels * height * width).view(channels, height // block, *outer, width // block, *outer)
    rows, columns = range(1, layers + 2), range(layers + 2, 2 * layers + 3)
    axes = [axis for pair in zip(rows, columns, strict=True) for axis in pair]
    return split.permute(*axes, 0).flatten()


def interval_sizes(input_shape: Sequence[int], sides: Sequence[int]) -> tuple[int, ...]:
    """Returns the filter sizes of the same hierarchy over the ordered numbers: squares, the first with all channels."""
    first, *others = (side**2 for side in sides)
    return first * image_size(input_shape)[0], *others


def hierarchies(length: int, max_depth: int) -> Iterator[tuple[int, ...]]:
    """Yields filter sizes of 2 and more, up to `max_depth` of them, whose product divides `length`; short ones first.

    Examples:
        >>> list(hierarchies(8, 2))
        [(2,), (4,), (8,), (2, 2), (2, 4), (4, 2)]
    """
    level: list[tuple[int, ...]] = [()]
    for _ in range(max_depth):
        level = [
            (*sizes, size)
            for sizes in level
            for size in range(2, length + 1)
            if length % (math.prod(sizes) * size) == 0
        ]
        yield from level
