"""The base of graph classification: many small graphs with a class each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge
from jaxtyping import Float, Int
from torch import Tensor

from rk.builtin.metrics import Accuracy
from rk.protocols import Batch, Outputs
from rk.sampling import batch_count, rows
from rk_graphs.fields import GraphsBatch, Level
from rk_graphs.splits import Parts


@dataclass(frozen=True)
class GraphSet:
    """Graphs, flat: the nodes of all, one after the other.

    Attributes:
        x: (nodes, features).
        edge_index: (2, edges): from node, to node, ordered by their graphs; numbers count through all graphs.
        node_counts: (graphs,) Nodes of each graph.
        edge_counts: (graphs,) Edges of each graph.
        targets: (graphs,) class numbers.
        labels: Names of the classes.
        edge_attr: (edges, features), where edges have features.
    """

    x: Float[Tensor, "nodes features"]
    edge_index: Int[Tensor, "2 edges"]
    node_counts: Int[Tensor, "graphs"]
    edge_counts: Int[Tensor, "graphs"]
    targets: Int[Tensor, "graphs"]
    labels: tuple[str, ...]
    edge_attr: Float[Tensor, "edges features"] | None = None

    def take(self, chosen: Int[Tensor, "batch"]) -> GraphsBatch:
        """Returns some of the graphs as a flat batch."""
        nodes, node_owner = _spans(self.node_counts, chosen)
        edges, edge_owner = _spans(self.edge_counts, chosen)
        sizes = self.node_counts[chosen]
        starts = self.node_counts.cumsum(0) - self.node_counts
        shift = (sizes.cumsum(0) - sizes) - starts[chosen]
        batch: GraphsBatch = {
            "x": self.x[nodes],
            "edge_index": self.edge_index[:, edges] + shift[edge_owner],
            "graph_index": node_owner,
            "graph_sizes": sizes,
            "targets": self.targets[chosen],
        }
        if self.edge_attr is not None:
            batch["edge_attr"] = self.edge_attr[edges]
        return batch


def _spans(counts: Int[Tensor, "graphs"], chosen: Int[Tensor, "batch"]) -> tuple[Tensor, Tensor]:
    """Returns the rows of the chosen graphs, and for each row the place of its graph among the chosen."""
    starts = (counts.cumsum(0) - counts)[chosen]
    sizes = counts[chosen]
    owner = torch.repeat_interleave(torch.arange(len(chosen)), sizes)
    within = torch.arange(len(owner)) - (sizes.cumsum(0) - sizes)[owner]
    return starts[owner] + within, owner


class GraphSetData(ABC):
    """Many small graphs with a class each.

    Args:
        seed: Orders the training batches.
        batch_size: Graphs per batch.
    """

    splits = ("train", "val", "test")
    metrics: Mapping[str, Any] = {"accuracy": Accuracy}  # Any: functions and classes
    num_features: int
    num_classes: int
    num_outputs: int
    num_edge_features: int
    level: Level

    def __init__(self, seed: int, batch_size: Annotated[int, Ge(1)] = 32) -> None:
        self.seed = seed
        self.batch_size = batch_size

    @abstractmethod
    def _load(self) -> GraphSet:
        """Returns the graphs. Does all I/O."""

    @abstractmethod
    def _split(self, graphs: GraphSet) -> Parts:
        """Returns the graphs of each split."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, in the order of their numbers."""
        return self._labels

    def prepare(self) -> None:
        self._graphs = graphs = self._load()
        self._note_facts(graphs.x.shape[1], graphs.labels, 0 if graphs.edge_attr is None else graphs.edge_attr.shape[1])
        self.parts = self._split(graphs)

    def _note_facts(self, num_features: int, labels: Sequence[str], num_edge_features: int) -> None:
        self._labels = tuple(labels)
        self.num_features = num_features
        self.num_classes = self.num_outputs = len(labels)
        self.num_edge_features = num_edge_features
        self.level = "graph"

    def batches(self, split: str) -> int:
        return batch_count(len(self.parts[split]), self.batch_size)

    def batch(self, split: str, i: int, stage: int = 0) -> GraphsBatch:
        part = self.parts[split]
        return self._graphs.take(part[rows(len(part), self.batch_size, i, seed=self.seed, shuffle=split == "train")])

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns for each graph its class, and the probabilities of all."""
        return [
            {
                "class": self._labels[max(range(len(row)), key=row.__getitem__)],
                "probability": round(max(row), 4),
                "probabilities": {name: round(p, 4) for name, p in zip(self._labels, row, strict=True)},
            }
            for row in outputs["logits"].softmax(-1).tolist()
        ]

    def render(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Draws up to 12 graphs with the answered class, in green or red where the class is known."""
        from rk_graphs.drawing import draw_graphs

        answers = [f"{a['class']}  {a['probability']:.0%}" for a in self.answers(batch, outputs)]
        known = batch.get("targets")
        right = None if known is None else (outputs["logits"].argmax(-1) == known).tolist()
        return [draw_graphs(batch["edge_index"], batch["graph_sizes"], answers, right, out)]

    def state_dict(self) -> dict[str, Any]:
        """Returns what a loaded run needs to answer: sizes and the names of classes."""
        return {
            "labels": list(self._labels),
            "num_features": self.num_features,
            "num_edge_features": self.num_edge_features,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._note_facts(state["num_features"], state["labels"], state["num_edge_features"])
