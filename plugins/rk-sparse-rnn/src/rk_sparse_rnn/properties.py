"""The 23 properties of a graph whose relation to the accuracy the thesis looks at (arXiv:2407.20601, Sec. 5.3.2)."""

from __future__ import annotations

import statistics

from rk_sparse_rnn.wiring import Edges, layers

MEASURES = ("eccentricity", "degree", "closeness", "nodes_betweenness", "edge_betweenness")
PROPERTIES = (
    "layers", "nodes", "edges", "source_nodes", "sink_nodes", "diameter", "density", "average_shortest_path_length",
    *(f"{measure}_{what}" for measure in MEASURES for what in ("mean", "var", "stdev")),
)  # fmt: skip
"""Names, in the order of the columns."""


def properties(edges: Edges) -> dict[str, float]:
    """Returns the properties of a connected graph; all but the first, fourth and fifth are of the undirected one.

    The density is that of a directed graph with these edges, E / (n (n - 1)), as in the thesis; variances are those of
    samples. `sink_nodes` is the width of the last layer.

    Args:
        edges: From the smaller number to the larger.
    """
    import networkx

    graph = networkx.Graph(edges)
    n = graph.number_of_nodes()
    level_of = layers(1 + max(v for _, v in edges), edges)
    lengths = dict(networkx.all_pairs_shortest_path_length(graph))
    eccentricity = {node: max(away.values()) for node, away in lengths.items()}
    measured = (
        eccentricity,
        networkx.degree_centrality(graph),
        networkx.closeness_centrality(graph),
        networkx.betweenness_centrality(graph),
        networkx.edge_betweenness_centrality(graph),
    )
    found = [
        1 + max(level_of),
        n,
        graph.number_of_edges(),
        level_of.count(0),
        level_of.count(max(level_of)),
        max(eccentricity.values()),
        graph.number_of_edges() / (n * (n - 1)),
        sum(sum(away.values()) for away in lengths.values()) / (n * (n - 1)),
    ]
    for values in (list(map(float, one.values())) for one in measured):
        spread = statistics.variance(values) if len(values) > 1 else 0.0
        found += [statistics.fmean(values), spread, spread**0.5]
    return dict(zip(PROPERTIES, map(float, found), strict=True))
