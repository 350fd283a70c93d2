"""The layer `message-passing`: learned messages, any aggregator, a learned update."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge
from jaxtyping import Float, Int
from torch import Tensor, nn

from rk.protocols import Aggregator, Factory


class MessagePassing(nn.Module):
    """Messages along edges, an aggregator at each node, and an MLP of the node and what arrived.

    Gilmer et al., arXiv:1704.01212, Eq. 1 and Eq. 2: m_i = AGG over j of message(h_i, h_j, e_ij), and
    h_i' = update(h_i, m_i).
    The first layer of the message is linear in its parts, so nodes are mapped before they are spread over edges.

    Args:
        in_channels: Width of a node.
        out_channels: Width of a node afterwards, and of a message.
        aggregator: What puts the messages to a node into one.
        message: `mlp`: an MLP of both ends and of the edge's features; `node`: the state of the node it comes from.
        num_edge_features: Features of an edge; 0 for none.
        num_layers: Hidden layers of the MLPs.

    Examples:
        model: {name: gnn, layer: {name: message-passing, aggregator: max-aggregator}}

        >>> from rk_graphs.aggregators import MaxAggregator
        >>> layer = MessagePassing(in_channels=4, out_channels=2, aggregator=MaxAggregator)
        >>> layer(torch.rand(3, 4), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([3, 2])
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        aggregator: Factory[Aggregator],
        message: Literal["mlp", "node"] = "mlp",
        num_edge_features: Annotated[int, Ge(0)] = 0,
        num_layers: Annotated[int, Ge(1)] = 1,
    ) -> None:
        super().__init__()
        self.message = message
        if message == "mlp":
            self.source = nn.Linear(in_channels, out_channels)
            self.target = nn.Linear(in_channels, out_channels, bias=False)
            self.edge = nn.Linear(num_edge_features, out_channels, bias=False) if num_edge_features else None
            self.rest = _after_first(out_channels, num_layers)
        size = out_channels if message == "mlp" else in_channels
        self.aggregator = aggregator(d_model=size)
        self.update = nn.Sequential(
            nn.Linear(in_channels + size, out_channels), *_after_first(out_channels, num_layers)
        )

    def forward(
        self,
        x: Float[Tensor, "nodes in_channels"],
        edge_index: Int[Tensor, "2 edges"],
        edge_attr: Float[Tensor, "edges features"] | None = None,
    ) -> Float[Tensor, "nodes out_channels"]:
        """Maps the nodes."""
        source, target = edge_index
        if self.message == "mlp":
            messages = self.source(x)[source] + self.target(x)[target]
            if self.edge is not None and edge_attr is not None:
                messages = messages + self.edge(edge_attr)
            messages = self.rest(messages)
        else:
            messages = x[source]
        arrived = self.aggregator(messages, target, len(x))
        return self.update(torch.cat([x, arrived], 1))


def _after_first(d_model: int, num_layers: int) -> nn.Sequential:
    """Returns what follows the first linear map of an MLP: hidden layers, and a linear map at the end."""
    layers: list[nn.Module] = []
    for _ in range(num_layers):
        layers += [nn.ReLU(), nn.Linear(d_model, d_model)]
    return nn.Sequential(*layers)
