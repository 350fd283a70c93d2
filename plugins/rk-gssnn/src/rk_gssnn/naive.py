"""The head again, with loops over samples, nodes and edges: what tests and benchmarks compare `structured.py` with."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from rk_gssnn.dsl import Graph
from rk_gssnn.encoder import sines
from rk_gssnn.structured import GraphStructured


def answers(head: GraphStructured, graph: Graph, x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch out_features"]:
    """Returns what `head` does, in eval mode, with its own weights.

    Args:
        head: The head.
        graph: Its graph.
        x: (batch, dim).
    """
    dim = x.shape[1]
    elements = len(graph.nodes) + len(graph.edges)
    size = dim // elements
    found = []
    for vector in x:
        pieces, at = [], 0
        for number in range(elements):
            length = size + dim % elements if number == 0 else size
            piece = vector[at : at + length]
            pieces.append(piece.tile(math.ceil(dim / length))[:dim])
            at += length
        nodes = {n: pieces[n] + sines(torch.tensor([n]), torch.tensor([0]), dim)[0] for n in graph.nodes}
        edges = [
            pieces[e.number] + sines(torch.tensor([e.number]), torch.tensor([e.port + 1]), dim)[0] for e in graph.edges
        ]
        for layer in head.layers:
            sums = dict(nodes)
            for edge, feature in zip(graph.edges, edges, strict=True):
                sums[edge.other] = sums[edge.other] + (nodes[edge.one] + feature).relu()
                sums[edge.one] = sums[edge.one] + (nodes[edge.other] + feature).relu()
            nodes = {n: layer(total) for n, total in sums.items()}
        found.append(head.out(torch.stack([nodes[n] for n in graph.nodes]).mean(0)))
    return torch.stack(found)
