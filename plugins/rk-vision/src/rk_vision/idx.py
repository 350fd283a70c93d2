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
        raise ValueError("not an IDX file of bytes")
    n_axes = content[3]
    if not 1 <= n_axes <= 3:
        raise ValueError(f"an IDX file must have 3 axes (images) or 1 (labels), got {n_axes}")
    start = 4 + 4 * n_axes
    if len(content) < start:
        raise ValueError("the IDX file ends within its header")
    shape = struct.unpack(f">{n_axes}I", content[4:start])
    if len(content) - start != math.prod(shape):
        raise ValueError(f"the IDX file must have {math.prod(shape)} bytes by its header, got {len(content) - start}")
    if not math.prod(shape):
        raise ValueError("the IDX file has no entries")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=start).view(shape)
