"""The sampled graph around a node, which is always the same."""

from __future__ import annotations

import hashlib

import torch
from jaxtyping import Float, Int
from rk_graphs.graph import both_ways
from rk_graphs.neighbours import Neighbours
from torch import Tensor

from rk.sampling import generator

Ego = tuple[Int[Tensor, "nodes"], Int[Tensor, "2 edges"]]
"""The nodes' numbers in the whole graph, the centre first, and the edges in places of these."""


class EgoGraphs:
    """Draws a graph around a node by the node's number alone, so that what is made of it can be kept.

    Args:
        edge_index: (2, edges): the whole graph's edges, in both directions.
        num_nodes: Its nodes.
        hops: Steps away from the centre.
        fanout: Neighbours that are drawn of a node.
        max_nodes: Nodes of a graph; the nearest ones stay.
    """

    def __init__(
        self, edge_index: Int[Tensor, "2 edges"], num_nodes: int, hops: int, fanout: int, max_nodes: int
    ) -> None:
        self._neighbours = Neighbours(edge_index, num_nodes)
        self._fanouts = [fanout] * hops
        self._max_nodes = max_nodes
        self._kept: dict[int, Ego] = {}

    def around(self, node: int) -> Ego:
        """Returns the graph around a node; its drawn edges are there in both directions."""
        if node not in self._kept:
            random = generator("ego graph", node)
            nodes, edges = self._neighbours.around(torch.tensor([node]), self._fanouts, random)
            nodes = nodes[: self._max_nodes]
            edges = edges[:, (edges < len(nodes)).all(0)]
            self._kept[node] = (nodes, both_ways(edges, len(nodes)))
        return self._kept[node]


def graph_key(x: Float[Tensor, "nodes features"], edge_index: Int[Tensor, "2 edges"]) -> int:
    """Returns a number of 63 bits that differs for graphs with other features or edges."""
    found = hashlib.blake2b(x.contiguous().numpy().tobytes(), digest_size=8)
    found.update(edge_index.contiguous().numpy().tobytes())
    return int.from_bytes(found.digest(), "little") >> 1
