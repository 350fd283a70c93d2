from __future__ import annotations

from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rk import Factory, Layer
from rk.fields import LogitsOutputs


class NodeLayer(Layer, Protocol):
    """Maps (nodes, d_model) and edges (2, edges) to (nodes, d_model)."""

    def __init__(self, *, d_model: int) -> None: ...

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor: ...


class SumLayer(nn.Module):
    """The sum over neighbours, through a linear map.

    Args:
        d_model: Width of a node.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.own, self.others = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        around = torch.zeros_like(x).index_add(0, edge_index[1], x[edge_index[0]])
        return (self.own(x) + self.others(around)).relu()


class GraphNet(nn.Module):
    """Layers over nodes, and their sum over each graph.

    Args:
        num_classes: A fact.
        layer: What is stacked.
        d_model: Width of a node.
        num_layers: How many layers.
    """

    def __init__(self, num_classes: int, layer: Factory[NodeLayer], d_model: int = 8, num_layers: int = 2) -> None:
        super().__init__()
        self.into = nn.Linear(1, d_model)
        self.blocks = nn.ModuleList(layer(d_model=d_model) for _ in range(num_layers))
        self.head = nn.Linear(d_model, num_classes)

    def forward(
        self,
        *,
        x: Float[Tensor, "nodes 1"],
        edge_index: Int[Tensor, "2 edges"],
        graph_index: Int[Tensor, "nodes"],
        graph_sizes: Int[Tensor, "graphs"],
    ) -> LogitsOutputs:
        hidden = self.into(x)
        for block in self.blocks:
            hidden = block(hidden, edge_index)
        graphs = torch.zeros(len(graph_sizes), hidden.shape[1], dtype=hidden.dtype).index_add(0, graph_index, hidden)
        return {"logits": self.head(graphs / graph_sizes[:, None])}
