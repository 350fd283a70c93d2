"""The data `graph-families`: random graphs of the same size and density; which rule made each?"""

from __future__ import annotations

from typing import Annotated, Any

import torch
from annotated_types import Ge, Le
from torch import Tensor

from rk.sampling import generator
from rk_graphs.graph import both_ways
from rk_graphs.graph_sets import GraphSet, GraphSetData
from rk_graphs.splits import Parts, at_random

FAMILIES = ("Erdos-Renyi", "Watts-Strogatz", "Barabasi-Albert")


class GraphFamilies(GraphSetData):
    """Graphs of Erdos and Renyi, Watts and Strogatz, and Barabasi and Albert, with the same mean degree.

    Nodes have no features but a 1: only the edges distinguish the families. networkx generates them.

    Args:
        num_graphs: Graphs of each family.
        min_nodes: Fewest nodes of a graph.
        max_nodes: Most nodes of a graph.
        half_degree: Half of the mean degree.
        rewired: Share of the edges of a Watts-Strogatz graph that are rewired at random.

    Examples:
        data: {name: graph-families, num_graphs: 100, max_nodes: 30}
    """

    def __init__(
        self,
        num_graphs: Annotated[int, Ge(4)] = 200,
        min_nodes: Annotated[int, Ge(4)] = 20,
        max_nodes: Annotated[int, Ge(4)] = 40,
        half_degree: Annotated[int, Ge(1)] = 2,
        rewired: Annotated[float, Ge(0), Le(1)] = 0.2,
        **sets: Any,
    ) -> None:
        super().__init__(**sets)
        if not 2 * half_degree < min_nodes <= max_nodes:
            raise ValueError("min_nodes must be above the mean degree and at most max_nodes")
        self.num_graphs = num_graphs
        self.nodes = (min_nodes, max_nodes)
        self.half_degree = half_degree
        self.rewired = rewired

    def _load(self) -> GraphSet:
        import networkx

        sizes = torch.randint(
            self.nodes[0], self.nodes[1] + 1, (len(FAMILIES), self.num_graphs), generator=generator("families", 0)
        )
        half = self.half_degree
        found: list[Tensor] = []
        counts: list[int] = []
        for family, row in enumerate(sizes.tolist()):
            for number, size in enumerate(row):
                seed = family * self.num_graphs + number
                if family == 0:
                    graph = networkx.gnm_random_graph(size, half * size, seed=seed)
                elif family == 1:
                    graph = networkx.watts_strogatz_graph(size, 2 * half, self.rewired, seed=seed)
                else:
                    graph = networkx.barabasi_albert_graph(size, half, seed=seed)
                found.append(both_ways(torch.tensor(list(graph.edges)).T, size))
                counts.append(size)
        nodes = torch.tensor(counts)
        starts = nodes.cumsum(0) - nodes
        edges = torch.cat([part + start for part, start in zip(found, starts.tolist(), strict=True)], 1)
        classes = torch.arange(len(FAMILIES)).repeat_interleave(self.num_graphs)
        return GraphSet(
            torch.ones(int(nodes.sum()), 1), edges, nodes, torch.tensor([p.shape[1] for p in found]), classes, FAMILIES
        )

    def _split(self, graphs: GraphSet) -> Parts:
        return at_random(graphs.targets, 0.15, 0.15, 0)
