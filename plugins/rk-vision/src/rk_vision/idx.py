"""The IDX format of the MNIST files: two zeros, a type, the number of axes, their sizes, the bytes."""

from __future__ import annotations

import math
import struct

import torch
from torch import Tensor

UNSIGNED_BYTE = 0x08


def parse_idx(content: bytes) -> Tensor:
    """Returns the uint8 tensor in an IDX file. Raises `ValueError` for anything else."""
    if len(content) < 4 or content[:3] != bytes((0, 0, UNSIGNED_BYTE)):
        raise ValueError("no IDX file of bytes")
    n_axes = content[3]
    if not 1 <= n_axes <= 3:
        raise ValueError(f"an IDX file of {n_axes} axes; images have 3, and labels 1")
    start = 4 + 4 * n_axes
    if len(content) < start:
        raise ValueError("an IDX file that ends in its header")
    shape = struct.unpack(f">{n_axes}I", content[4:start])
    if len(content) - start != math.prod(shape):
        raise ValueError(f"an IDX file of {len(content) - start} bytes where {math.prod(shape)} are announced")
    if not math.prod(shape):
        raise ValueError("an IDX file without entries")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=start).view(shape)
