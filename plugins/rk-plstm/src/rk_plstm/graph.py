"""The layer `plstm-graph`: pLSTM along the edges of graphs, in the order of the nodes and against it."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float, Int
from torch import Tensor, nn

from rk_plstm.layer import GateMap, Gates, HeadMap
from rk_plstm.ops import dag_matrix, gated_attention

# n nodes, i, o channels, g components, m nodes of the largest one, h heads


class PLSTMGraph(nn.Module):
    """pLSTM on directed acyclic graphs (arXiv:2506.11997): states on edges, which nodes fill, pass on and read.

    Edges to later nodes make one acyclic graph, those to earlier ones another; both have gates of their own and their
    outputs are added. What enters a node and what it adds are divided between the edges that leave it, so that states
    stay bounded. A node is seen from wherever a path of its component leads. Features of edges are not used.

    Matrices have the size of the largest component: this is for many small graphs.

    Args:
        in_channels: Width of a node.
        out_channels: Width of a node afterwards.
        num_heads: Heads.
        head_dim: Width of a head.
        gates: Whether gates depend on the `input` or are `constant`.
        source_bias: Of the sigmoid of S at first.
        mark_bias: Of that of M.
        direct_bias: Of that of D.
        transition_factor: T is the tanh of so many times ``1 + w x`` at first.

    Examples:
        model: {name: gnn, layer: {name: plstm-graph, num_heads: 2}, d_model: 32, num_layers: 2}

        >>> PLSTMGraph(in_channels=4, out_channels=2)(torch.rand(3, 4), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([3, 2])
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        num_heads: Annotated[int, Ge(1)] = 4,
        head_dim: Annotated[int, Ge(1)] = 8,
        gates: Gates = "input",
        source_bias: float = 0.0,
        mark_bias: float = 0.0,
        direct_bias: float = 0.0,
        transition_factor: Annotated[float, Gt(0)] = 5.0,
    ) -> None:
        super().__init__()
        self.heads = HeadMap(in_channels, out_channels, num_heads, head_dim)
        self.transition_factor = transition_factor
        self.gates = GateMap(in_channels, torch.tensor([1.0, source_bias, mark_bias]).repeat(num_heads, 2, 1), gates)
        self.direct = GateMap(in_channels, torch.full((num_heads,), direct_bias), gates)

    def forward(
        self,
        x: Float[Tensor, "n i"],
        edge_index: Int[Tensor, "2 edges"],
        edge_attr: Float[Tensor, "edges features"] | None = None,
    ) -> Float[Tensor, "n o"]:
        """Maps the nodes; edges go from the first row to the second."""
        places = component_places(edge_index, len(x))
        edges = _adjacency(edge_index, places)
        edges = (edges / edges.sum(-2, keepdim=True).clamp(min=1)).to(x.dtype)
        u = x.unsqueeze(0)
        z, source, mark = places.spread(self.gates(u)[0].movedim(-1, 0)).movedim(1, -1).unbind(3)
        transition = (self.transition_factor * z).tanh()
        both = dag_matrix(edges.unsqueeze(1), transition, source.sigmoid(), mark.sigmoid(), places.size)
        direct = places.spread(self.direct(u)[0].mT.sigmoid()).mT
        q, k, v = (places.spread(part[0].movedim(1, 0)).movedim(1, 2) for part in self.heads.project(u))
        y = gated_attention(q, k, v, both.sum(2) + direct.diag_embed())
        return self.heads(y.movedim(1, 2)[places.component, places.rank].movedim(1, 0).unsqueeze(0))[0]


class Places(NamedTuple):
    """Where each node is in its component.

    Attributes:
        component: (n,) number of the component.
        rank: (n,) place among the nodes of the component, in the order of all nodes.
        total: Components.
        size: Nodes of the largest one.
    """

    component: Int[Tensor, "n"]
    rank: Int[Tensor, "n"]
    total: int
    size: int

    def spread(self, values: Float[Tensor, "n *rest"]) -> Float[Tensor, "g m *rest"]:
        """Returns one row of nodes for each component, with zeros where it has fewer."""
        empty = values.new_zeros(self.total, self.size, *values.shape[1:])
        return empty.index_put((self.component, self.rank), values)


def component_places(edge_index: Int[Tensor, "2 edges"], num_nodes: int) -> Places:
    """Returns the places of nodes in the parts of a graph that no edge connects, whatever the edges' directions."""
    label = torch.arange(num_nodes, device=edge_index.device)
    while True:  # each node takes the least label of its neighbours, and that node's
        ends = torch.cat([edge_index, edge_index.flip(0)], 1)
        least = label.scatter_reduce(0, ends[1], label[ends[0]], "amin")
        least = least[least]
        if torch.equal(least, label):
            break
        label = least
    component = label.unique(return_inverse=True)[1]
    sizes = component.bincount()
    order = component.argsort(stable=True)
    starts = (sizes.cumsum(0) - sizes)[component[order]]
    rank = torch.empty_like(order).scatter_(0, order, torch.arange(num_nodes, device=order.device) - starts)
    return Places(component, rank, len(sizes), int(sizes.max()))


def _adjacency(edge_index: Int[Tensor, "2 edges"], places: Places) -> Float[Tensor, "g 2 m m"]:
    """Returns 1 where an edge goes to a later node, and to an earlier one; rows are where it goes to."""
    start, end = edge_index[:, edge_index[0] != edge_index[1]]
    found = torch.zeros(places.total, 2, places.size, places.size, device=edge_index.device)
    found[places.component[end], (end < start).long(), places.rank[end], places.rank[start]] = 1
    return found
