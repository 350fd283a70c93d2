"""The files that a search writes: the population as a table, programs as text, graphs and ranks as figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from rk.charts import COLORS, chart, plain, save
from rk.jsontext import to_json
from rk.writing import write_atomic, write_csv
from rk_gssnn.dsl import Graph, GraphLanguage
from rk_gssnn.population import Member

MOST_GRAPHS = 12


def write_report(out: Path, dsl: GraphLanguage, members: Sequence[Member]) -> None:
    """Writes ``population.csv``, ``programs.json`` and ``library.txt``.

    Args:
        out: The folder.
        dsl: The language, with its library.
        members: All programs that were judged.
    """
    write_csv(out / "population.csv", [field.name for field in fields(Member)], [member.row() for member in members])
    library = {name: [len(takes), str(body)] for name, (takes, body) in dsl.library.items()}
    programs = [{**vars(member), "graph": [list(edge) for edge in dsl.graph(member.plain).edges]} for member in members]
    write_atomic(out / "programs.json", to_json({"library": library, "programs": programs}, indent=1) + "\n")
    lines = [_function(name, arity, body) for name, (arity, body) in library.items()]
    write_atomic(out / "library.txt", "".join(f"{line}\n" for line in lines))


def _function(name: str, arity: Any, body: Any) -> str:
    arguments = "".join(f" x{i}" for i in range(arity))
    return f"({name}{arguments}) = {body}" if arity else f"{name} = {body}"


def draw_report(out: Path, dsl: GraphLanguage, members: Sequence[Member], baselines: Sequence[float]) -> None:
    """Writes ``figures/graphs.png`` and, where networks were trained, ``figures/ranks.png``."""
    figures = out / "figures"
    figures.mkdir(exist_ok=True)
    kept = sorted((m for m in members if m.kept), key=lambda m: (-m.train, m.iteration, m.number))[:MOST_GRAPHS]
    captions = [f"{m.iteration}-{m.number}: {m.train:.3f} {m.val:.3f}" for m in kept]
    draw_graphs([dsl.graph(m.plain) for m in kept], captions, figures / "graphs.png")
    if baselines:
        _draw_ranks(members, baselines, figures / "ranks.png")


def draw_graphs(graphs: Sequence[Graph], captions: Sequence[str], path: Path) -> None:
    """Draws graphs, four in a row; a number is the order of creation of its node or edge.

    Args:
        graphs: The graphs.
        captions: Of each.
        path: The file.
    """
    import networkx

    columns = min(4, len(graphs))
    rows = -(-len(graphs) // columns)
    with chart(2.3 * columns, 2.4 * rows, rows, columns) as (figure, *axes):
        for axis in axes:
            axis.set_axis_off()
        for graph, caption, axis in zip(graphs, captions, axes, strict=False):
            net = networkx.Graph([(edge.one, edge.other) for edge in graph.edges])
            places = networkx.spring_layout(net, seed=0)
            for edge in graph.edges:
                (x, y), (u, v) = places[edge.one], places[edge.other]
                axis.plot([x, u], [y, v], color="#9aa5b1", linewidth=1, zorder=1)
                axis.text((x + u) / 2, (y + v) / 2, str(edge.number), fontsize=6, color="#7d858c", ha="center")
            xs, ys = zip(*(places[node] for node in graph.nodes), strict=True)
            axis.scatter(xs, ys, s=110, color=COLORS[0], zorder=2)
            for node in graph.nodes:
                axis.text(*places[node], str(node), fontsize=7, color="white", ha="center", va="center", zorder=3)
            axis.margins(0.15)
            axis.set_aspect("equal", "datalim")
            axis.set_title(plain(caption), fontsize=8)
        save(figure, path)


def _draw_ranks(members: Sequence[Member], baselines: Sequence[float], path: Path) -> None:
    """Draws the networks in the order of their validation accuracy, with their training accuracy, and the baseline."""
    order = sorted(members, key=lambda member: member.val)
    with chart(5.2, 3.0) as (figure, axis):
        ranks = range(1, len(order) + 1)
        axis.plot(ranks, [member.train for member in order], "o", color=COLORS[1], markersize=4, label="training")
        axis.plot(ranks, [member.val for member in order], "o-", color=COLORS[0], markersize=4, label="validation")
        axis.axhspan(min(baselines), max(baselines), color="0.5", alpha=0.2, label="baseline, validation")
        axis.set_xlabel("rank by validation accuracy")
        axis.set_ylabel("accuracy")
        axis.legend()
        save(figure, path)
