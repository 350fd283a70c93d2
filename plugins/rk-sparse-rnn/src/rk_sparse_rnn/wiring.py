"""Random graphs as the wiring of a recurrent network: drawn, directed, and put into layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

Kind = Literal["watts-strogatz", "barabasi-albert"]
Edges = list[tuple[int, int]]
"""From the earlier node to the later one."""
_TRIES = 1000


def draw(kind: Kind, nodes: int, neighbours: int | None, rewire: float, attach: int | None, seed: int) -> Edges:
    """Returns the edges of a connected random graph, as networkx draws it (arXiv:2407.20601, Sec. 5.3).

    Args:
        kind: `watts-strogatz`, a ring whose edges are rewired, or `barabasi-albert`, which grows by attachment.
        nodes: How many.
        neighbours: Of a node on the ring; an odd number is used as the even one below. None: a fifth of the nodes.
        rewire: Chance that an edge of the ring is rewired.
        attach: Edges of each node that is added. None: a tenth of the nodes.
        seed: Of the graph.

    Raises:
        ValueError: When there is no such graph.
    """
    import networkx

    k, m = neighbours or nodes // 5, attach or max(1, nodes // 10)
    if kind == "watts-strogatz":
        if not 2 <= k < nodes:
            raise ValueError(f"neighbours must be 2 to {nodes - 1}, got {k}: give them, or at least 10 nodes")
        try:
            graph = networkx.connected_watts_strogatz_graph(nodes, k, rewire, tries=_TRIES, seed=seed)
        except networkx.NetworkXError:
            raise ValueError(f"no connected graph of {nodes} nodes in {_TRIES} tries: raise neighbours") from None
    else:
        if m >= nodes:
            raise ValueError(f"attach must be < {nodes}, the nodes, got {m}")
        graph = networkx.barabasi_albert_graph(nodes, m, seed=seed)
    return directed(graph.edges)


def directed(edges: Iterable[tuple[int, int]]) -> Edges:
    """Returns each undirected edge once, from the node with the smaller number to the other, in order."""
    return sorted({(min(u, v), max(u, v)) for u, v in edges if u != v})


def layers(nodes: int, edges: Edges) -> list[int]:
    """Returns the layer of each node: 0 without predecessors, else one more than the highest of its predecessors.

    One pass in the order of the sources: all predecessors of a node have smaller numbers and come before it.
    """
    found = [0] * nodes
    for source, target in sorted(edges):
        found[target] = max(found[target], found[source] + 1)
    return found
