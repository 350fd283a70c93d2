"""The layer `graph-transformer`: attention along edges, neither scaled nor followed by a feed-forward network."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float, Int
from torch import Tensor, nn

EPS = 1e-8
"""Added to the sum of the weights at a node, as the paper's code does."""


class GraphTransformer(nn.Module):
    """A node attends to the nodes from which edges reach it, and adds what it finds (GraphGPT, Sec. 3.1).

    For an edge from j to i: ``a_ij = exp(clamp(q_i . k_j, -10, 10))``, divided by the sum over all edges that end at
    i. Then ``h_i' = LayerNorm(sum_j a_ij v_j + h_i)``. Scores are not divided by the root of the width. A node attends
    to itself only where there is an edge from it to itself.

    Args:
        in_channels: Width of a node.
        out_channels: Width of a node afterwards: the same.
        num_heads: Heads, which divide the width.
        clamp: Bound of the scores.

    Raises:
        ValueError: When the two widths differ, or the heads do not divide them.

    Examples:
        model: {name: gnn, layer: {name: graph-transformer, num_heads: 8}, d_model: 64, project: true}

        >>> layer = GraphTransformer(in_channels=8, out_channels=8, num_heads=2)
        >>> layer(torch.rand(3, 8), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([3, 8])
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        num_heads: Annotated[int, Ge(1)] = 8,
        clamp: Annotated[float, Gt(0)] = 10.0,
    ) -> None:
        super().__init__()
        if in_channels != out_channels:
            raise ValueError(
                f"graph-transformer adds its input: the widths must be equal, got {in_channels} and {out_channels} "
                "(a gnn with project: true has one width)"
            )
        if in_channels % num_heads:
            raise ValueError(f"num_heads must divide the width {in_channels}, got {num_heads}")
        self.num_heads = num_heads
        self.clamp = clamp
        self.query, self.key, self.value = (
            nn.Parameter(nn.init.xavier_uniform_(torch.empty(in_channels, in_channels))) for _ in range(3)
        )
        self.norm = nn.LayerNorm(in_channels, eps=1e-6)

    def forward(
        self,
        x: Float[Tensor, "nodes d"],
        edge_index: Int[Tensor, "2 edges"],
        edge_attr: Float[Tensor, "edges features"] | None = None,
    ) -> Float[Tensor, "nodes d"]:
        """Maps the nodes (GraphGPT, Sec. 3.1); features of edges are not used."""
        source, target = edge_index
        query, key, value = (self._heads(x, weight) for weight in (self.query, self.key, self.value))
        scores = (query[target] * key[source]).sum(-1).clamp(-self.clamp, self.clamp)
        weights = scores.exp()
        total = weights.new_zeros(len(x), self.num_heads).index_add(0, target, weights)
        weights = weights / (total[target] + EPS)
        found = torch.zeros_like(value).index_add(0, target, weights.unsqueeze(-1) * value[source])
        mapped: Tensor = self.norm(found.flatten(1) + x)
        return mapped

    def _heads(self, x: Float[Tensor, "nodes d"], weight: Float[Tensor, "d d"]) -> Float[Tensor, "nodes heads c"]:
        return (x @ weight).unflatten(-1, (self.num_heads, -1))
