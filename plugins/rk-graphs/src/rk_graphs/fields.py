"""Fields of graph tasks: what their batches hold, and what models make of them."""

from __future__ import annotations

from typing import Literal, TypedDict

from jaxtyping import Float, Int
from torch import Tensor

from rk.fields import GraphBatch

Level = Literal["node", "link", "graph"]
"""What is answered: each node, each pair of nodes that is asked about, or each graph."""


class NodesBatch(GraphBatch):
    """Graphs with a class for each node; `rk.fields.IGNORED` for nodes that are not asked about."""

    targets: Int[Tensor, "nodes"]


class LinksBatch(GraphBatch):
    """Graphs, and pairs of nodes that are linked (1) or not (0)."""

    link_index: Int[Tensor, "2 links"]
    targets: Int[Tensor, "links"]


class GraphsBatch(GraphBatch):
    """Graphs with a class each."""

    targets: Int[Tensor, "graphs"]


class GraphOutputs(TypedDict):
    """The head's numbers under the names that losses ask for: scores over classes, or values."""

    logits: Float[Tensor, "items outputs"]
    values: Float[Tensor, "items outputs"]
