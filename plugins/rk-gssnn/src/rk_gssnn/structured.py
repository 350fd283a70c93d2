"""The head of a graph-structured network: messages along the graph of a program, whose nodes are chunks of a vector."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rk_gssnn.dsl import Graph
from rk_gssnn.encoder import sines


class GraphStructured(nn.Module):
    """A graph network over one vector, with the graph of a program (arXiv:2303.03340).

    The vector is cut into as many chunks as the graph has nodes and edges. Each of these gets the chunk of its number,
    repeated to the width of the vector, and a code of its number and its port. Layers are GINE (arXiv:1905.12265): a
    linear map of a node plus the sum of what its neighbours send, relu(neighbour + edge). The mean over the nodes is
    mapped to the answer. The graph is the same for all vectors, so the chunks are one selection by an index that is
    computed once, and messages one tensor operation.

    Args:
        graph: The graph.
        dim: Size of the vector.
        out_features: Size of the answer.
        num_layers: Layers.
        dropout: Share of what enters each layer that is set to zero in training.

    Raises:
        ValueError: When `dim` is not a multiple of 4 from 8 on, or the graph has more nodes and edges than that.
    """

    def __init__(self, graph: Graph, dim: int, out_features: int, num_layers: int = 3, dropout: float = 0.3) -> None:
        super().__init__()
        elements = len(graph.nodes) + len(graph.edges)
        if dim % 4 or dim < 8:
            raise ValueError(f"dim must be a multiple of 4, and 8 at least, got {dim}")
        if elements > dim:
            raise ValueError(f"dim must be at least the {elements} nodes and edges of the graph, got {dim}")
        place = {node: i for i, node in enumerate(graph.nodes)}
        edges = [edge.number for edge in graph.edges]
        ports = torch.tensor([edge.port + 1 for edge in graph.edges])
        ends = torch.tensor([(place[edge.one], place[edge.other]) for edge in graph.edges]).T
        nodes = torch.tensor(graph.nodes)
        index = chunks(elements, dim)
        self.num_nodes, self.num_edges = len(nodes), len(edges)
        self.chunk_index: Tensor
        self.codes: Tensor
        self.source: Tensor
        self.target: Tensor
        constants = {
            "chunk_index": torch.cat([index[nodes], index[edges]]).flatten(),
            "codes": torch.cat([sines(nodes, torch.zeros(len(nodes)), dim), sines(torch.tensor(edges), ports, dim)]),
            "source": torch.cat([ends[0], ends[1]]),
            "target": torch.cat([ends[1], ends[0]]),
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)
        self.layers = nn.ModuleList(nn.Linear(dim, dim) for _ in range(num_layers))
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(dim, out_features)

    def forward(self, x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch out_features"]:
        """Returns the answers.

        Args:
            x: (batch, dim).
        """
        chosen = x.index_select(1, self.chunk_index).unflatten(1, (-1, x.shape[1])) + self.codes
        nodes, edges = chosen.split([self.num_nodes, self.num_edges], 1)
        both = torch.cat([edges, edges], 1)
        for layer in self.layers:
            nodes = self.dropout(nodes)
            sent = (nodes.index_select(1, self.source) + self.dropout(both)).relu()
            nodes = layer(nodes.index_add(1, self.target, sent))
        answer: Tensor = self.out(nodes.mean(1))
        return answer


def chunks(elements: int, dim: int) -> Int[Tensor, "elements dim"]:
    """Returns where each number of each element's row comes from in a vector of `dim`.

    Row o has the o-th of `elements` consecutive chunks, repeated and cut to `dim`. Chunks have the size
    floor(dim / elements); the first has the remainder too.
    """
    size = dim // elements
    first = size + dim % elements
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), first + size * torch.arange(elements - 1)])
    lengths = torch.tensor([first, *[size] * (elements - 1)])
    return starts[:, None] + torch.arange(dim) % lengths[:, None]
