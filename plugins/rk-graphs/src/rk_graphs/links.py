"""The data `links`: which pairs of nodes of any graph are linked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Lt
from jaxtyping import Int
from torch import Tensor

from rk import UserError
from rk.builtin.metrics import Accuracy
from rk.protocols import Batch, Outputs
from rk.sampling import generator
from rk_graphs.fields import Level, LinksBatch
from rk_graphs.graph import Graph, one_way
from rk_graphs.link_metrics import AUC, MRR, AveragePrecision, HitsAt10
from rk_graphs.node_data import HasGraph


class Links:
    """Links of a graph, some of which are hidden: each pair of nodes is linked, or not.

    Training passes messages along the training links alone, and so do validation and tests; no hidden link is seen,
    in either direction. Every split has as many pairs that are not linked, drawn at random; those of training are
    drawn again in each epoch.

    Args:
        graph: Data that is one graph.
        seed: Draws the pairs that are not linked in training.
        val_fraction: Share of the links that is validated.
        test_fraction: Share of the links that is tested.
        fold: Which of the random splits.

    Examples:
        data: {name: links, graph: {name: planetoid, graph: cora}}
    """

    splits = ("train", "val", "test")
    metrics: Mapping[str, Any] = {  # Any: classes
        "auc": AUC,
        "average-precision": AveragePrecision,
        "mrr": MRR,
        "hits-10": HitsAt10,
        "accuracy": Accuracy,
    }
    num_features: int
    num_classes: int
    num_outputs: int
    num_edge_features: int
    level: Level

    def __init__(
        self,
        graph: HasGraph,
        seed: int,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.16,
        test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.2,
        fold: Annotated[int, Ge(0)] = 0,
    ) -> None:
        if val_fraction + test_fraction >= 1:
            raise ValueError("val_fraction and test_fraction leave no links to train on")
        self.base = graph
        self.seed = seed
        self.fractions = (val_fraction, test_fraction)
        self.fold = fold

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the two classes."""
        return ("not linked", "linked")

    def prepare(self) -> None:
        self.base.prepare()
        self._graph = graph = self.base.graph()
        links = one_way(graph.edge_index)
        count = links.shape[1]
        n_val, n_test = (max(1, round(share * count)) for share in self.fractions)
        if count - n_val - n_test < 1:
            raise UserError(f"{count} links are too few to train, validate and test")
        order = torch.randperm(count, generator=generator("links", self.fold))
        parts = {"val": order[:n_val], "test": order[n_val : n_val + n_test], "train": order[n_val + n_test :]}
        self.linked = {split: links[:, part] for split, part in parts.items()}
        self.edge_index = torch.cat([self.linked["train"], self.linked["train"].flip(0)], 1)
        self._taken = _keys(links, graph.num_nodes).sort().values
        self._note_facts(graph.x.shape[1])

    def _note_facts(self, num_features: int) -> None:
        self.num_features = num_features
        self.num_edge_features = 0
        self.num_classes = self.num_outputs = 2
        self.level = "link"

    def graph(self) -> Graph:
        """Returns the graph without the hidden links."""
        return replace(self._graph, edge_index=self.edge_index, edge_attr=None)

    def batches(self, split: str) -> int:
        return 1

    def batch(self, split: str, i: int, stage: int = 0) -> LinksBatch:
        """Returns all links of the split, and as many pairs that are not linked."""
        linked = self.linked[split]
        key = (self.seed, i) if split == "train" else (self.fold, 0)
        unlinked = self._unlinked(linked.shape[1], generator("unlinked", split, *key))
        count = self._graph.num_nodes
        return {
            "x": self._graph.x,
            "edge_index": self.edge_index,
            "graph_index": torch.zeros(count, dtype=torch.int64),
            "graph_sizes": torch.tensor([count]),
            "link_index": torch.cat([linked, unlinked], 1),
            "targets": torch.cat([torch.ones(linked.shape[1]), torch.zeros(unlinked.shape[1])]).long(),
        }

    def _unlinked(self, count: int, random: torch.Generator) -> Int[Tensor, "2 count"]:
        """Returns pairs of different nodes, none of which is linked in any split."""
        nodes = self._graph.num_nodes
        possible = nodes * (nodes - 1) // 2 - len(self._taken)
        if possible < 1:
            raise UserError("every two nodes are linked: there is nothing to learn")
        found = torch.empty(2, 0, dtype=torch.int64)
        while found.shape[1] < count:
            pairs = torch.randint(nodes, (2, 2 * count + 16), generator=random)
            keys = _keys(pairs, nodes)
            place = torch.searchsorted(self._taken, keys).clamp(max=len(self._taken) - 1)
            free = (self._taken[place] != keys) & (pairs[0] != pairs[1])
            found = torch.cat([found, pairs[:, free]], 1)
        return found[:, :count]

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns for each pair of nodes how probable their link is."""
        probabilities = outputs["logits"].softmax(-1)[:, 1].tolist()
        return [
            {"from": source, "to": target, "probability": round(p, 4)}
            for source, target, p in zip(*batch["link_index"].tolist(), probabilities, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        """Returns what a loaded run needs to answer."""
        return {"num_features": self.num_features}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._note_facts(state["num_features"])


def _keys(pairs: Int[Tensor, "2 pairs"], num_nodes: int) -> Int[Tensor, "pairs"]:
    """Returns one number for each pair, whatever its direction."""
    low, high = pairs.amin(0), pairs.amax(0)
    return low * num_nodes + high
