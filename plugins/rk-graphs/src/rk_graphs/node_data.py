"""The base of node classification: splits, whole graphs or sampled neighbourhoods, answers and figures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Protocol

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from rk import UserError
from rk.builtin.metrics import Accuracy
from rk.fields import IGNORED
from rk.protocols import Batch, Data, Outputs
from rk.sampling import batch_count, generator, rows
from rk_graphs.fields import Level, NodesBatch
from rk_graphs.graph import Graph
from rk_graphs.neighbours import Neighbours
from rk_graphs.splits import FOLDS, Parts, Split, at_random, k_fold


class HasGraph(Data, Protocol):
    """Data that is one graph: other tasks, such as `links`, can be made of it."""

    def graph(self) -> Graph:
        """Returns the graph, after `prepare`."""
        ...


class NodeAccuracy(Accuracy):
    """Share of the nodes that are asked about whose class has the highest logit."""

    def __init__(self) -> None:
        super().__init__(ignore_index=IGNORED)


class NodeData(ABC):
    """One graph whose nodes have classes. Every batch holds all nodes; only those of its split have targets.

    With a `batch_size`, a batch holds so many nodes of the split and a sampled neighbourhood around them, so that
    graphs train that are larger than memory.

    Args:
        seed: Orders the training batches and draws neighbourhoods.
        split: `published`, where the data has such a split; `random`: shares, drawn at random; `k-fold`: five parts.
        fold: Which of the random splits, or of the five parts, from 0.
        val_fraction: Share of the nodes that is validated in a random split.
        test_fraction: Share of the nodes that is tested in a random split.
        batch_size: Nodes of a batch that have targets; null: all, and the whole graph.
        fanouts: For each step away from these nodes, how many neighbours of a node are drawn; -1 for all. As many
            steps as the model has layers; one more for `gcn`, which looks at the degrees of neighbours.
        test_fanouts: Likewise for validation and tests; null: all neighbours, over as many steps.
    """

    splits = ("train", "val", "test")
    metrics: Mapping[str, Any] = {"accuracy": NodeAccuracy}  # Any: functions and classes
    num_features: int
    num_classes: int
    num_outputs: int
    num_edge_features: int
    level: Level

    def __init__(
        self,
        seed: int,
        split: Split = "random",
        fold: Annotated[int, Ge(0)] = 0,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.16,
        test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.2,
        batch_size: Annotated[int, Ge(1)] | None = None,
        fanouts: tuple[Annotated[int, Ge(-1)], ...] = (10, 10),
        test_fanouts: tuple[Annotated[int, Ge(-1)], ...] | None = None,
    ) -> None:
        if val_fraction + test_fraction >= 1:
            raise ValueError("val_fraction and test_fraction leave no nodes to train on")
        if split == "k-fold" and fold >= FOLDS:
            raise ValueError(f"fold must be below {FOLDS}, got {fold}")
        self.seed = seed
        self.split = split
        self.fold = fold
        self.fractions = (val_fraction, test_fraction)
        self.batch_size = batch_size
        self.fanouts = fanouts
        self.test_fanouts = (-1,) * len(fanouts) if test_fanouts is None else test_fanouts

    @abstractmethod
    def _load(self) -> Graph:
        """Returns the graph. Does all I/O."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, in the order of their numbers."""
        return self._labels

    def prepare(self) -> None:
        self._graph = graph = self._load()
        self._note_facts(graph.x.shape[1], graph.labels, 0 if graph.edge_attr is None else graph.edge_attr.shape[1])
        self.parts = self._split()
        self._neighbours = None if self.batch_size is None else Neighbours(graph.edge_index, graph.num_nodes)

    def _note_facts(self, num_features: int, labels: tuple[str, ...], num_edge_features: int) -> None:
        self._labels = labels
        self.num_features = num_features
        self.num_classes = self.num_outputs = len(labels)
        self.num_edge_features = num_edge_features
        self.level = "node"

    def graph(self) -> Graph:
        """Returns the whole graph."""
        return self._graph

    def _split(self) -> Parts:
        graph = self._graph
        if self.split == "published":
            if not graph.published:
                raise UserError("data.split: this graph has no published split", "choose random or k-fold")
            return graph.published
        known = graph.known
        if self.split == "k-fold":
            parts = k_fold(len(known), self.fold)
        else:
            parts = at_random(graph.targets[known], *self.fractions, self.fold)
        return {name: known[part] for name, part in parts.items()}

    def batches(self, split: str) -> int:
        return 1 if self.batch_size is None else batch_count(len(self.parts[split]), self.batch_size)

    def batch(self, split: str, i: int, stage: int = 0) -> NodesBatch:
        if self._neighbours is None or self.batch_size is None:
            return self._whole(self.parts[split])
        nodes = self.parts[split]
        train = split == "train"
        chosen = nodes[rows(len(nodes), self.batch_size, i, seed=self.seed, shuffle=train)]
        return self._sampled(self._neighbours, chosen, train, generator(self.seed, "neighbours", split, i))

    def _whole(self, asked: Tensor) -> NodesBatch:
        graph = self._graph
        targets = torch.full_like(graph.targets, IGNORED)
        targets[asked] = graph.targets[asked]
        return self._batch(graph.x, graph.edge_index, targets, graph.edge_attr)

    def _sampled(self, neighbours: Neighbours, asked: Tensor, train: bool, random: torch.Generator) -> NodesBatch:
        graph = self._graph
        if graph.edge_attr is not None:
            raise UserError("data.batch_size: edges with features are not sampled", "batch_size: null")
        nodes, edges = neighbours.around(asked, self.fanouts if train else self.test_fanouts, random)
        targets = torch.full((len(nodes),), IGNORED)
        targets[: len(asked)] = graph.targets[asked]
        return self._batch(graph.x[nodes], edges, targets, None)

    def _batch(self, x: Tensor, edge_index: Tensor, targets: Tensor, edge_attr: Tensor | None) -> NodesBatch:
        batch: NodesBatch = {
            "x": x,
            "edge_index": edge_index,
            "graph_index": torch.zeros(len(x), dtype=torch.int64),
            "graph_sizes": torch.tensor([len(x)]),
            "targets": targets,
        }
        if edge_attr is not None:
            batch["edge_attr"] = edge_attr
        return batch

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns for each node its class and how probable it is."""
        probabilities, classes = outputs["logits"].softmax(-1).max(-1)
        names = batch.get("names_meta") or range(len(classes))
        return [
            {"node": name, "class": self._labels[c], "probability": round(p, 4)}
            for name, c, p in zip(names, classes.tolist(), probabilities.tolist(), strict=True)
        ]

    def render(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Draws the graph, or what is around one node of a large one, in the colours of the answered classes."""
        from rk_graphs.drawing import draw_nodes

        answered = outputs["logits"].argmax(-1)
        return [draw_nodes(batch["edge_index"], answered, batch.get("targets"), self._labels, out)]

    def state_dict(self) -> dict[str, Any]:
        """Returns what a loaded run needs to answer: sizes and the names of classes."""
        return {
            "labels": list(self._labels),
            "num_features": self.num_features,
            "num_edge_features": self.num_edge_features,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._note_facts(state["num_features"], tuple(state["labels"]), state["num_edge_features"])
