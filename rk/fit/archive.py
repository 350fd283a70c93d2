"""Files that `torch.save` wrote, read without running code and without taking more memory than they have bytes."""

from __future__ import annotations

import zipfile
from pathlib import Path

import torch

from rk.values import Value

SLACK = 2**20
"""Bytes by which what a file declares may exceed its own size."""


def read_archive(path: Path) -> Value:
    """Returns the tensors and plain values in a file of `torch.save`, on the CPU.

    Such a file stores its parts as they are. One that declares more than its own size is packed, and could fill the
    memory from a few megabytes: it is refused before anything is loaded.

    Args:
        path: The file.

    Raises:
        ValueError: When the file declares more than it has.
        Exception: Whatever zip, pickle and torch raise for a file that is damaged or holds anything else.
    """
    with zipfile.ZipFile(path) as archive:
        declared = sum(part.file_size for part in archive.infolist())
    size = path.stat().st_size
    if declared > size + SLACK:
        raise ValueError(f"it has {size} bytes and declares {declared}")
    return torch.load(path, map_location="cpu", weights_only=True)
