"""Which node gets messages from which: the same for all examples, or all from all with a mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

# v nodes, k neighbours, b batch, d width: nodes come first, so that a row that is copied to an edge is long


class Edges(NamedTuple):
    """The edges into each node, of a batch.

    Attributes:
        neighbours: (v, k) The nodes that send to each node; None: all nodes do, itself included.
        mask: True where an edge exists, of a shape that broadcasts to (v, k, b); None: everywhere.
    """

    neighbours: Int[Tensor, "v k"] | None
    mask: Bool[Tensor, "v k b"] | None

    def spread(self, x: Float[Tensor, "v b d"]) -> Float[Tensor, "v k b d"]:
        """Returns the row of the sender of each edge; where all send to all, of (1, v, b, d), which broadcasts."""
        if self.neighbours is None:
            return x.unsqueeze(0)
        return x.index_select(0, self.neighbours.flatten()).unflatten(0, self.neighbours.shape)

    def degrees(self, num_nodes: int) -> Float[Tensor, "v b 1"] | float:
        """Returns how many edges end in each node: one number where it is the same for all."""
        if self.mask is not None:
            return self.mask.sum(1).unsqueeze(-1).to(torch.get_default_dtype())
        return float(num_nodes if self.neighbours is None else self.neighbours.shape[1])


def neighbour_index(
    neighbours: Sequence[Sequence[int]],
) -> tuple[Int[Tensor, "v k"], Bool[Tensor, "v k"] | None]:
    """Returns the neighbours as a tensor, shorter rows padded with 0, and where there is one; None: everywhere.

    Raises:
        ValueError: When there is no node, or a neighbour is none of the nodes.
    """
    longest = max(map(len, neighbours), default=0)
    if not longest:
        raise ValueError("neighbours must name at least one neighbour of a node")
    index = torch.zeros(len(neighbours), longest, dtype=torch.long)
    mask = torch.zeros(len(neighbours), longest, dtype=torch.bool)
    for node, row in enumerate(neighbours):
        for place, other in enumerate(row):
            if not 0 <= other < len(neighbours):
                raise ValueError(f"neighbours of node {node} must be from 0 to {len(neighbours) - 1}, got {other}")
            index[node, place] = other
            mask[node, place] = True
    return index, None if bool(mask.all()) else mask


def fully_connected(num_nodes: int) -> list[list[int]]:
    """Returns the neighbours of each of `num_nodes` nodes: all others."""
    return [[other for other in range(num_nodes) if other != node] for node in range(num_nodes)]
