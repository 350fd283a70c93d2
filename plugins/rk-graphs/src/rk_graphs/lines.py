"""The data `graph-lines`: a user's own graphs, one JSON object per line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Gt, Lt
from torch import Tensor

from rk import UserError
from rk.errors import printable, suggest
from rk.protocols import Batch
from rk.reading import describe, read_json_lines
from rk_graphs.graph_sets import GraphSet, GraphSetData
from rk_graphs.splits import Parts, at_random

FORMAT = 'a graph per line: {"nodes": [[0.5, 1], ...], "edges": [[0, 1], ...], "target": "a"}'
KEYS = ("nodes", "edges", "target")


class GraphLines(GraphSetData):
    """A user's own graphs as JSON lines: `{"nodes": ["C", "O"], "edges": [[0, 1]], "target": "toxic"}`.

    `nodes` is a list of words, such as atoms, which become one-hot features, or a list of lists of numbers, or just
    how many nodes there are. `edges` has pairs of places in it, from 0. Without `directed`, an edge passes messages
    both ways.

    Args:
        file: JSON lines, also inside a gzip file.
        directed: Whether messages pass only in the direction of an edge.
        val_fraction: Share of the graphs that is validated.
        test_fraction: Share of the graphs that is tested.

    Examples:
        data: {name: graph-lines, file: molecules.jsonl}
    """

    def __init__(
        self,
        file: Path,
        directed: bool = False,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.15,
        test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.15,
        **sets: Any,
    ) -> None:
        super().__init__(**sets)
        if val_fraction + test_fraction >= 1:
            raise ValueError("val_fraction and test_fraction leave no graphs to train on")
        self.file = file
        self.directed = directed
        self.fractions = (val_fraction, test_fraction)

    def _load(self) -> GraphSet:
        graphs = [self._graph(line, value, self.file) for line, value in read_json_lines(self.file, FORMAT)]
        shown = printable(str(self.file))
        for line, _, _, target in graphs:
            if target is None:
                raise UserError(f"{shown}:{line}: there is no target", FORMAT)
        words = {node for _, nodes, _, _ in graphs for node in nodes if isinstance(node, str)}
        self._words = sorted(words)
        first = next((nodes[0] for _, nodes, _, _ in graphs if nodes), None)
        self._width = len(first) if isinstance(first, list) else 0
        labels = sorted({str(target) for *_, target in graphs})
        if len(labels) < 2:
            raise UserError(f"{shown}: all graphs have the target {labels[0]!r}: there is nothing to learn")
        return self._set(graphs, labels, self.file)

    def _split(self, graphs: GraphSet) -> Parts:
        return at_random(graphs.targets, *self.fractions, 0)

    def read(self, path: Path) -> Batch:
        """Reads graphs, one JSON object per line, with targets or without."""
        graphs = [self._graph(line, value, path) for line, value in read_json_lines(path, FORMAT)]
        found = self._set(graphs, self.labels, path)
        batch: dict[str, Any] = {**found.take(torch.arange(len(graphs)))}
        if any(target is None for *_, target in graphs):
            del batch["targets"]
        return batch

    def _graph(self, line: int, value: Any, path: Path) -> tuple[int, list[Any], list[list[int]], Any]:
        """Returns the line, nodes, edges and target of a graph. Raises `UserError` for what is not a graph."""
        place = f"{printable(str(path))}:{line}"
        if not isinstance(value, dict) or "nodes" not in value:
            raise UserError(f"{place}: expected an object with nodes and edges, got {describe(value)}", FORMAT)
        if strange := [key for key in value if key not in KEYS]:
            raise UserError(f"{place}: there is no key {strange[0]!r}", suggest(strange[0], KEYS, "keys"))
        nodes = value["nodes"]
        if isinstance(nodes, int) and not isinstance(nodes, bool) and nodes > 0:
            nodes = [[] for _ in range(nodes)]
        if not isinstance(nodes, list) or not nodes:
            raise UserError(
                f"{place}: nodes must be a list, or how many there are, got {describe(value['nodes'])}", FORMAT
            )
        edges = value.get("edges", [])
        count = len(nodes)
        for edge in edges if isinstance(edges, list) else [edges]:
            whole = isinstance(edge, list) and len(edge) == 2 and all(type(end) is int for end in edge)
            if not whole or not all(0 <= end < count for end in edge):
                raise UserError(
                    f"{place}: an edge must be two places from 0 to {count - 1}, got {describe(edge)}", FORMAT
                )
        target = value.get("target")
        if isinstance(target, list | dict | float):
            raise UserError(f"{place}: the target must be a class, got {describe(target)}")
        return line, nodes, edges, target

    def _set(
        self, graphs: Sequence[tuple[int, list[Any], list[list[int]], Any]], labels: Sequence[str], path: Path
    ) -> GraphSet:
        if not graphs:
            raise UserError(f"{printable(str(path))}: there are no graphs", FORMAT)
        codes = {label: code for code, label in enumerate(labels)}
        features, edges, targets, edge_counts = [], [], [], []
        start = 0
        for line, nodes, pairs, target in graphs:
            place = f"{printable(str(path))}:{line}"
            features.append(self._features(nodes, place))
            both = {(a, b) for a, b in pairs} | (set() if self.directed else {(b, a) for a, b in pairs})
            ends = torch.tensor(sorted(both, key=lambda edge: edge[::-1]), dtype=torch.int64).view(-1, 2).T
            edges.append(ends + start)
            edge_counts.append(ends.shape[1])
            start += len(nodes)
            if target is not None and str(target) not in codes:
                raise UserError(
                    f"{place}: no training graph has the target {describe(target)}", f"known: {', '.join(labels)}"
                )
            targets.append(codes[str(target)] if target is not None else 0)
        return GraphSet(
            torch.cat(features),
            torch.cat(edges, 1),
            torch.tensor([len(nodes) for _, nodes, _, _ in graphs]),
            torch.tensor(edge_counts),
            torch.tensor(targets),
            tuple(labels),
        )

    def _features(self, nodes: list[Any], place: str) -> Tensor:
        """Returns (nodes, features): words one-hot, a word that is not known as zeros; numbers; ones."""
        if self._words:
            codes = {word: code for code, word in enumerate(self._words)}
            if wrong := [node for node in nodes if not isinstance(node, str)]:
                raise UserError(f"{place}: expected a word for each node, got {describe(wrong[0])}", FORMAT)
            found = torch.zeros(len(nodes), len(codes))
            known = [(row, codes[node]) for row, node in enumerate(nodes) if node in codes]
            if known:
                found[tuple(torch.tensor(known).T)] = 1.0
            return found
        for node in nodes:
            numbers = isinstance(node, list) and all(isinstance(x, int | float) and type(x) is not bool for x in node)
            if not numbers or len(node) != self._width:
                what = f"{self._width} numbers" if self._width else "no features"
                raise UserError(f"{place}: expected {what} for each node, got {describe(node)}", FORMAT)
        return torch.tensor(nodes, dtype=torch.float32) if self._width else torch.ones(len(nodes), 1)

    def state_dict(self) -> dict[str, Any]:
        """Returns what a loaded run needs to answer: words, sizes and the names of classes."""
        return {**super().state_dict(), "words": list(self._words), "width": self._width}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._words = list(state["words"])
        self._width = state["width"]
