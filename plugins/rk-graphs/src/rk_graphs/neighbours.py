"""Sampled neighbourhoods: so a graph trains in small batches, whatever its size (Hamilton et al., arXiv:1706.02216)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

Numbers = NDArray[np.int64]


class Neighbours:
    """The edges of a graph, ordered by the node at which they end.

    Args:
        edge_index: (2, edges): from node, to node.
        num_nodes: Nodes of the graph.

    Examples:
        >>> path = Neighbours(torch.tensor([[0, 1, 2], [1, 2, 3]]), num_nodes=4)
        >>> nodes, edges = path.around(torch.tensor([3]), fanouts=[-1, -1], generator=torch.Generator())
        >>> nodes.tolist(), edges.tolist()
        ([3, 2, 1], [[1, 2], [0, 1]])
    """

    def __init__(self, edge_index: Int[Tensor, "2 edges"], num_nodes: int) -> None:
        source, target = edge_index.numpy()
        self._sources: Numbers = source[np.argsort(target, kind="stable")]
        self._starts: Numbers = np.concatenate([[0], np.cumsum(np.bincount(target, minlength=num_nodes))])
        self._local: Numbers = np.full(num_nodes, -1)

    def around(
        self, seeds: Int[Tensor, "seeds"], fanouts: Sequence[int], generator: torch.Generator
    ) -> tuple[Int[Tensor, "nodes"], Int[Tensor, "2 edges"]]:
        """Returns the nodes from which a message reaches `seeds`, the seeds first, and the edges between them.

        Args:
            seeds: Different nodes.
            fanouts: For each step away from the seeds, how many neighbours of a node are drawn, without replacement;
                -1 for all of them.
            generator: Draws them.

        Returns:
            The nodes' numbers in the graph, and the edges in places of these.
        """
        random = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        nodes: list[Numbers] = [seeds.numpy()]
        local = self._local
        local[nodes[0]] = np.arange(len(seeds))
        count = len(seeds)
        sources: list[Numbers] = []
        targets: list[Numbers] = []
        for fanout in fanouts:
            frontier = nodes[-1]
            places, owners = self._drawn(frontier, fanout, random)
            found = self._sources[places]
            new = np.unique(found[local[found] < 0])
            local[new] = np.arange(count, count + len(new))
            count += len(new)
            sources.append(local[found])
            targets.append(local[frontier[owners]])
            nodes.append(new)
        chosen = np.concatenate(nodes)
        local[chosen] = -1  # the table of places is used again: cleared at the cost of the batch, not of the graph
        edges = np.stack([np.concatenate([*sources, _NONE]), np.concatenate([*targets, _NONE])])
        return torch.from_numpy(chosen), torch.from_numpy(edges)

    def _drawn(self, nodes: Numbers, fanout: int, random: np.random.Generator) -> tuple[Numbers, Numbers]:
        """Returns the places of the drawn edges, and for each the place in `nodes` of the node at which it ends."""
        starts, degrees = self._starts[nodes], self._starts[nodes + 1] - self._starts[nodes]
        owners = np.repeat(np.arange(len(nodes)), degrees)
        within = np.arange(len(owners)) - np.repeat(np.cumsum(degrees) - degrees, degrees)
        places = starts[owners] + within
        if fanout < 0 or not len(places):
            return places, owners
        # the `fanout` smallest of one random number per edge are a draw without replacement
        order = np.argsort(owners + random.random(len(places)))
        kept = np.sort(order[within < fanout])  # sorted, each node has its edges in the same places as before
        return places[kept], owners[kept]


_NONE: Numbers = np.empty(0, np.int64)
