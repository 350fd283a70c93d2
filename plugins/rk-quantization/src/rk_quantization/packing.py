"""Codes of 1 to 8 bits without gaps: the first code in the highest bits of the first byte."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def pack(codes: Tensor, bits: int) -> Tensor:
    """Returns codes as bytes.

    Args:
        codes: Whole numbers from 0 to ``2**bits - 1``, of any shape.
        bits: 1 to 8.

    Returns:
        uint8 of ``(ceil(codes * bits / 8),)``.

    Raises:
        ValueError: When a code needs more bits.
    """
    flat = codes.reshape(-1).cpu().numpy()
    if flat.size and (flat.min() < 0 or flat.max() >= 2**bits):
        raise ValueError(f"codes must be 0 to {2**bits - 1}, got {flat.min()} to {flat.max()}")
    if bits == 8:
        return torch.from_numpy(flat.astype(np.uint8))
    if bits == 4:
        even = np.pad(flat.astype(np.uint8), (0, flat.size % 2))
        return torch.from_numpy((even[0::2] << 4) | even[1::2])
    spread = np.unpackbits(flat.astype(np.uint8)[:, None], axis=1)[:, 8 - bits :]
    return torch.from_numpy(np.packbits(spread.reshape(-1)))


def unpack(packed: Tensor, bits: int, count: int) -> Tensor:
    """Returns the first `count` codes of `pack`'s bytes, int16 of ``(count,)``."""
    flat = packed.cpu().numpy()
    if bits == 8:
        return torch.from_numpy(flat[:count].astype(np.int16))
    spread = np.unpackbits(flat, count=count * bits).reshape(count, bits)
    weights = (1 << np.arange(bits - 1, -1, -1)).astype(np.int16)
    return torch.from_numpy((spread.astype(np.int16) * weights).sum(1, dtype=np.int16))
