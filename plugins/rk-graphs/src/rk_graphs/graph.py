"""A graph in memory, and what is made of its edges."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rk.fields import IGNORED


@dataclass(frozen=True)
class Graph:
    """A graph with features and classes of its nodes.

    Attributes:
        x: (nodes, features), float32; it may be in a memory-mapped file.
        edge_index: (2, edges): from node, to node. An edge without direction is there in both.
        targets: (nodes,) class numbers; `IGNORED` where none is known.
        labels: Names of the classes.
        published: Split -> (rows,) the nodes that the publisher assigned to it; empty where there is no such split.
        edge_attr: (edges, features), where edges have features.
    """

    x: Float[Tensor, "nodes features"]
    edge_index: Int[Tensor, "2 edges"]
    targets: Int[Tensor, "nodes"]
    labels: tuple[str, ...]
    published: dict[str, Tensor] = field(default_factory=dict)
    edge_attr: Float[Tensor, "edges features"] | None = None

    @property
    def num_nodes(self) -> int:
        return self.x.shape[0]

    @property
    def known(self) -> Int[Tensor, "rows"]:
        """The nodes whose class is known."""
        return (self.targets != IGNORED).nonzero().flatten()


def both_ways(edge_index: Int[Tensor, "2 edges"], num_nodes: int) -> Int[Tensor, "2 edges2"]:
    """Returns each edge in both directions, once, without loops, ordered by its target."""
    source, target = edge_index
    keep = source != target
    keys = torch.cat([target[keep] * num_nodes + source[keep], source[keep] * num_nodes + target[keep]]).unique()
    return torch.stack([keys % num_nodes, keys // num_nodes])


def one_way(edge_index: Int[Tensor, "2 edges"]) -> Int[Tensor, "2 edges1"]:
    """Returns each edge of a graph without directions once: from the lower to the higher node."""
    return edge_index[:, edge_index[0] < edge_index[1]]


def rows_to_one(x: Float[Tensor, "nodes features"]) -> Float[Tensor, "nodes features"]:
    """Returns features whose rows add up to 1; rows of zeros stay as they are."""
    total = x.sum(1, keepdim=True)
    return x / torch.where(total == 0, torch.ones_like(total), total)
