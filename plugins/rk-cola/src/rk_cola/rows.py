"""Paths and digests as tensors, which a checkpoint can hold."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from rk_lm.layered import Path
from torch import Tensor

PADDING = -1
"""The padding of rows of layer numbers, and of bytes of texts."""


def as_bytes(digest: str) -> Tensor:
    """Returns a hexadecimal digest as bytes."""
    return torch.tensor([*bytes.fromhex(digest)], dtype=torch.uint8)


def rows_of(paths: Sequence[Path]) -> Tensor:
    """Returns paths as the rows of (paths, longest), padded on the right."""
    longest = max(map(len, paths), default=0)
    return torch.tensor([[*p, *[PADDING] * (longest - len(p))] for p in paths], dtype=torch.int16)


def path_of(row: Tensor) -> Path:
    """Returns the path of a row."""
    return tuple(layer for layer in row.tolist() if layer != PADDING)
