"""Balanced trees over groups of items: neighbours are paired level by level, and an odd last item moves up unchanged.

Both functions build the same tree of each group: items 1 and 2, items 3 and 4, and so on, whatever the other groups
are.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

Combine = Callable[[Tensor], Tensor]
"""Pairs side by side, (*pairs, 2, d) -> (*pairs, d)."""


def fold_dense(
    combine: Combine,
    x: Float[Tensor, "groups items d"],
    sizes: Int[Tensor, "groups"] | None = None,
) -> Float[Tensor, "groups d"]:
    """Returns the root of each group's tree, of groups side by side: one call for each level.

    Args:
        combine: The binary operator.
        x: (groups, items, d), at least one item; those of a group come first, whatever is behind them changes nothing.
        sizes: (groups,) Items of each group; None: all of them. A group of size 0 gives its first row.
    """
    while (n := x.shape[1]) > 1:
        pairs = x[:, : n - n % 2].unflatten(1, (n // 2, 2))
        joined = combine(pairs)
        if sizes is not None:
            both = 2 * torch.arange(n // 2, device=x.device) + 1 < sizes.unsqueeze(1)
            joined = torch.where(both.unsqueeze(-1), joined, pairs[:, :, 0])
            sizes = (sizes + 1) // 2
        x = torch.cat([joined, x[:, -1:]], 1) if n % 2 else joined
    return x[:, 0]


def fold_ragged(
    combine: Combine, x: Float[Tensor, "items d"], sizes: Int[Tensor, "groups"]
) -> Float[Tensor, "some_groups d"]:
    """Returns the root of each group that has items: sum(size - 1) pairs in all, however the sizes differ.

    Args:
        combine: The binary operator.
        x: (items, d), the items of each group one after the other.
        sizes: (groups,) Items of each group.
    """
    sizes = sizes[sizes > 0]
    groups = torch.arange(len(sizes), device=x.device)
    row = torch.arange(len(x), device=x.device)  # where each item of this level is in x
    while len(row) > len(sizes):
        starts = sizes.cumsum(0) - sizes
        half, odd = sizes // 2, sizes % 2 == 1
        group = groups.repeat_interleave(half)
        number = torch.arange(len(group), device=x.device) - (half.cumsum(0) - half)[group]
        first = starts[group] + 2 * number
        alone = (starts + sizes - 1)[odd]
        joined = combine(x.index_select(0, row[torch.stack([first, first + 1], 1)].flatten()).unflatten(0, (-1, 2)))
        x = torch.cat([joined, x.index_select(0, row[alone])])
        sizes = sizes - half
        starts = sizes.cumsum(0) - sizes
        row = torch.empty(len(x), dtype=torch.int64, device=x.device)
        row[torch.cat([starts[group] + number, (starts + sizes - 1)[odd]])] = torch.arange(len(x), device=x.device)
    return x.index_select(0, row)
