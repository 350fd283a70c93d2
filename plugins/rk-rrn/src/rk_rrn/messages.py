"""Messages along the edges and their aggregation at each node."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from rk.protocols import Aggregator, Factory
from rk_rrn.graph import Edges
from rk_rrn.mlp import MLP


class Messages(nn.Module):
    """m_j = sum over i in N(j) of f([h_i; h_j; e_ij]) (arXiv:1711.08028, Eq. 1 and 2), f an MLP.

    Two exact savings. The first layer of f is linear, so it maps the V nodes rather than the E edges, and an edge
    adds the two. The last layer of f is linear and a sum follows, so the sum comes first and V rows are mapped; its
    bias counts once for each edge.

    Args:
        hidden_size: Width of nodes, of f and of messages.
        num_layers: Hidden layers of f.
        edge_size: Features of an edge.
        aggregator: What puts the messages to a node into one; None: the sum.
    """

    def __init__(
        self, hidden_size: int, num_layers: int, edge_size: int = 0, aggregator: Factory[Aggregator] | None = None
    ) -> None:
        super().__init__()
        self.f = MLP((hidden_size, hidden_size, edge_size), hidden_size, hidden_size, num_layers)
        self.aggregator = None if aggregator is None else aggregator(d_model=hidden_size)

    def edge_share(self, features: Float[Tensor, "*edges features"]) -> Float[Tensor, "*edges d"]:
        """Returns what features of edges add to the first layer of f: the same in all steps."""
        return self.f.share(2, features)

    def forward(
        self, hidden: Float[Tensor, "v b d"], edges: Edges, edge_share: Float[Tensor, "v k b d"] | None = None
    ) -> Float[Tensor, "v b d"]:
        """Returns the aggregated messages to each node (Eq. 1 and Eq. 2).

        Args:
            hidden: (v, b, d) The nodes.
            edges: Which node gets messages from which.
            edge_share: `edge_share` of the edges' features, of a shape that broadcasts to (v, k, b, d).
        """
        target = (self.f.share(1, hidden) + self.f.first.bias).unsqueeze(1)
        if edge_share is not None and edge_share.shape[1] == 1:  # the same for all edges into a node
            target, edge_share = target + edge_share, None
        sender, mask = self.f.share(0, hidden), edges.mask
        if mask is not None and edges.neighbours is None and not self.f.hidden:  # ReLU makes zeros of these messages
            sender, mask = sender.masked_fill(~mask[0].unsqueeze(-1), -torch.inf), None
        first = edges.spread(sender) + target
        if edge_share is not None:
            first += edge_share
        messages = self.f.rest(first)
        if self.aggregator is not None:
            return self._aggregated(self.f.last(messages), edges)
        if mask is not None:
            messages = messages * mask.unsqueeze(-1)
        arrived = functional.linear(messages.sum(1), self.f.last.weight)
        return arrived + edges.degrees(len(hidden)) * self.f.last.bias

    def _aggregated(self, messages: Float[Tensor, "v k b d"], edges: Edges) -> Float[Tensor, "v b d"]:
        from rk_graphs.aggregators import aggregate_dense  # it imports torch_geometric, which takes seconds

        v, k, b, d = messages.shape
        mask = None if edges.mask is None else edges.mask.expand(v, k, b).transpose(1, 2).reshape(v * b, k)
        assert self.aggregator is not None
        return aggregate_dense(self.aggregator, messages.transpose(1, 2).reshape(v * b, k, d), mask).view(v, b, d)
