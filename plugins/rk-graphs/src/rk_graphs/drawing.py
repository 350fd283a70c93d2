"""Figures of graphs, laid out by networkx."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from rk.charts import chart, plain, save
from rk.fields import IGNORED

MOST_NODES = 150
"""Of a larger graph, the nodes around one of those that are asked about are drawn."""
MOST_GRAPHS = 12
GOOD, BAD, QUIET = "#0b7a75", "#c2410c", "#9aa5b1"


def draw_nodes(
    edge_index: Int[Tensor, "2 edges"],
    answered: Int[Tensor, "nodes"],
    targets: Int[Tensor, "nodes"] | None,
    labels: Sequence[str],
    out: Path,
) -> Path:
    """Draws a graph; a node has the colour of its answered class, and a red ring where another one is right.

    Args:
        edge_index: (2, edges).
        answered: (nodes,) class numbers.
        targets: (nodes,) the right ones, where they are known; `IGNORED` elsewhere.
        labels: Names of the classes.
        out: The image; a name without the ending of an image gets .png.
    """
    from matplotlib import colormaps
    from matplotlib.lines import Line2D

    asked = torch.arange(len(answered)) if targets is None else (targets != IGNORED).nonzero().flatten()
    shown = _around(edge_index, len(answered), asked)
    colors = colormaps["tab10" if len(labels) <= 10 else "tab20"]
    with chart(7.2, 5.4) as (figure, axis):
        places, ends = _layout(edge_index, shown)
        axis.plot(*ends, color=QUIET, linewidth=0.6, zorder=1)
        wrong = torch.zeros(len(answered), dtype=torch.bool)
        if targets is not None:
            wrong = (targets != IGNORED) & (targets != answered)
        rings = [BAD if wrong[node] else "white" for node in shown.tolist()]
        fills = [colors(int(answered[node]) % colors.N) for node in shown.tolist()]
        axis.scatter(places[:, 0], places[:, 1], s=60, c=fills, edgecolors=rings, linewidths=1.4, zorder=2)
        used = sorted({int(answered[node]) for node in shown.tolist()})
        dots = [
            Line2D([], [], marker="o", linestyle="", color=colors(c % colors.N), label=plain(labels[c])) for c in used
        ]
        axis.legend(handles=dots, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        title = f"{len(shown)} of {len(answered)} nodes" if len(shown) < len(answered) else f"{len(answered)} nodes"
        if targets is not None and len(asked):
            title += f"; of {len(asked)} asked about, {int(wrong.sum())} are wrong"
        axis.set_title(title)
        axis.set_axis_off()
        return save(figure, out)


def draw_graphs(
    edge_index: Int[Tensor, "2 edges"],
    graph_sizes: Int[Tensor, "graphs"],
    captions: Sequence[str],
    right: Sequence[bool] | None,
    out: Path,
) -> Path:
    """Draws up to 12 graphs of a flat batch, four in a row.

    Args:
        edge_index: (2, edges).
        graph_sizes: (graphs,) Nodes of each.
        captions: Of each graph.
        right: Whether each caption is right; None: it is not known.
        out: The image.
    """
    count = min(len(captions), MOST_GRAPHS)
    columns = min(4, count)
    rows = -(-count // columns)
    ends = graph_sizes.cumsum(0).tolist()
    with chart(2.4 * columns, 2.5 * rows, rows, columns) as (figure, *axes):
        for number, axis in enumerate(axes):
            axis.set_axis_off()
            if number >= count:
                continue
            nodes = torch.arange(ends[number - 1] if number else 0, ends[number])
            places, lines = _layout(edge_index, nodes)
            axis.plot(*lines, color=QUIET, linewidth=0.8, zorder=1)
            axis.scatter(places[:, 0], places[:, 1], s=18, color="#1f2933", zorder=2)
            color = "#1f2933" if right is None else GOOD if right[number] else BAD
            axis.set_title(plain(captions[number]), fontsize=9, color=color)
        return save(figure, out)


def _around(edge_index: Int[Tensor, "2 edges"], num_nodes: int, asked: Int[Tensor, "asked"]) -> Int[Tensor, "shown"]:
    """Returns all nodes of a small graph; of a large one, those that are nearest to one that is asked about."""
    if num_nodes <= MOST_NODES:
        return torch.arange(num_nodes)
    source, target = edge_index
    degrees = torch.bincount(target, minlength=num_nodes)
    first = asked[degrees[asked].argmax()] if len(asked) else degrees.argmax()
    found = torch.zeros(num_nodes, dtype=torch.bool)
    found[first] = True
    order = [first.view(1)]
    while sum(map(len, order)) < MOST_NODES:
        new = torch.zeros_like(found)
        new[target[found[source]]] = True
        new &= ~found
        if not new.any():
            break
        found |= new
        order.append(new.nonzero().flatten())
    return torch.cat(order)[:MOST_NODES]


def _layout(edge_index: Int[Tensor, "2 edges"], nodes: Int[Tensor, "nodes"]) -> tuple[Any, tuple[list[Any], list[Any]]]:
    """Returns the places of the nodes, and the lines between them as coordinates with gaps."""
    import networkx
    import numpy as np

    inside = torch.full((int(max(nodes.max(), edge_index.max() if edge_index.numel() else 0)) + 1,), -1)
    inside[nodes] = torch.arange(len(nodes))
    local = inside[edge_index]
    edges = [(s, t) for s, t in local[:, (local >= 0).all(0)].T.tolist() if s < t]
    graph = networkx.Graph()
    graph.add_nodes_from(range(len(nodes)))
    graph.add_edges_from(edges)
    found = networkx.spring_layout(graph, seed=0, iterations=60)
    places = np.array([found[node] for node in range(len(nodes))])
    across: list[Any] = []
    up: list[Any] = []
    for s, t in edges:
        across += [places[s, 0], places[t, 0], None]
        up += [places[s, 1], places[t, 1], None]
    return places, (across, up)
