"""Large kernel matrices block by block, so that what is needed on the way never exceeds a bound."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

KernelFunction = Callable[[Tensor, Tensor | None], Tensor]
"""(n1, ...), (n2, ...) or None -> (n1, n2)."""

MEMORY = 64 * 2**20
"""Bytes for the temporaries of one tile by default; on a CPU, tiles near the size of its caches are the fastest."""
TEMPORARIES = 16
"""Numbers that a typical kernel holds at once for each entry of its result."""


def tiled(
    function: KernelFunction,
    x1: Tensor,
    x2: Tensor | None = None,
    *,
    memory: int = MEMORY,
    per_entry: int = TEMPORARIES,
) -> Tensor:
    """Returns ``function(x1, x2)`` as (n1, n2), computed in square tiles; of a symmetric one, only the upper half.

    Args:
        function: The kernel. It is given None for the second input where a tile is on the diagonal.
        x1: (n1, ...).
        x2: (n2, ...); None: `x1` again.
        memory: Bound in bytes on the temporaries of one tile; the result itself is not counted.
        per_entry: Numbers that `function` holds at once for each entry of its result.
    """
    if torch.compiler.is_exporting():  # a graph has one course, whatever the sizes
        return function(x1, x2)
    block = block_size(memory, per_entry, x1.element_size())
    n1, n2 = len(x1), len(x1 if x2 is None else x2)
    if max(n1, n2) <= block:
        return function(x1, x2)
    result = torch.empty(n1, n2, dtype=x1.dtype, device=x1.device)
    for i in range(0, n1, block):
        for j in range(0 if x2 is not None else i, n2, block):
            rows, columns = slice(i, i + block), slice(j, j + block)
            if x2 is None and i == j:
                result[rows, columns] = function(x1[rows], None)
                continue
            tile = function(x1[rows], (x1 if x2 is None else x2)[columns])
            result[rows, columns] = tile
            if x2 is None:
                result[columns, rows] = tile.mT
    return result


def block_size(memory: int, per_entry: int, element_size: int) -> int:
    """Returns the side of the largest square tile whose temporaries fit into `memory` bytes; at least 16."""
    return max(16, math.isqrt(memory // (per_entry * element_size)))
