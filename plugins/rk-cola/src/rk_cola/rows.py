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


def by_owner(paths: Sequence[Sequence[Path]]) -> tuple[Tensor, Tensor]:
    """Returns the paths of each owner as rows of (all paths, longest), and of each row the number of its owner."""
    owners = [i for i, own in enumerate(paths) for _ in own]
    return rows_of([path for own in paths for path in own]), torch.tensor(owners, dtype=torch.int32)


def of_owners(rows: Tensor, owners: Tensor, count: int) -> list[list[Path]]:
    """Returns what `by_owner` has taken, for the owners 0 to `count` - 1."""
    found: list[list[Path]] = [[] for _ in range(count)]
    for row, owner in zip(rows, owners.tolist(), strict=True):
        found[owner].append(path_of(row))
    return found
