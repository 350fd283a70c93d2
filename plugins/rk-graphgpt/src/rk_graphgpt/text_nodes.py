"""Graphs whose nodes have texts, and the base of the data that grounds a graph encoder in them."""

from __future__ import annotations

import hashlib
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Protocol, TypedDict

import torch
from annotated_types import Ge, Gt, Lt
from jaxtyping import Float, Int
from rk_graphs.neighbours import Neighbours
from rk_graphs.splits import at_random
from rk_sequence.vocabulary import Vocabulary
from torch import Tensor

from rk.protocols import Data
from rk.sampling import batch_count, generator, rows


@dataclass(frozen=True)
class TextGraph:
    """A graph whose nodes have a text and a class.

    Attributes:
        texts: The text of each node.
        edge_index: (2, edges), each edge in both directions.
        targets: (nodes,) class numbers.
        labels: Names of the classes.
        seen: How many of the classes, the first ones, are trained on. No edge joins their nodes and the others'.
    """

    texts: tuple[str, ...]
    edge_index: Int[Tensor, "2 edges"]
    targets: Int[Tensor, "nodes"]
    labels: tuple[str, ...]
    seen: int

    @property
    def num_nodes(self) -> int:
        return len(self.texts)

    def classes_beside(self, class_number: int) -> tuple[str, ...]:
        """Returns the names among which nodes of a class are classified: all seen classes, or the others."""
        return self.labels[: self.seen] if class_number < self.seen else self.labels[self.seen :]

    @cached_property
    def neighbours(self) -> Neighbours:
        """The edges, ordered by the node at which they end."""
        return Neighbours(self.edge_index, self.num_nodes)


class HasTexts(Data, Protocol):
    """Data that is a graph of texts: instructions and documents are made of it."""

    parts: dict[str, Tensor]
    num_features: int

    def text_graph(self) -> TextGraph:
        """Returns the graph, after `prepare`."""
        ...

    def features(self, texts: Sequence[str]) -> Float[Tensor, "nodes features"]:
        """Returns the features of nodes with these texts."""
        ...

    def draw_text(self, class_number: int, chance: random.Random) -> str:
        """Returns a text of a class that does not belong to a node of validation or tests."""
        ...

    def words(self) -> Sequence[str]:
        """Returns the words of texts, the most frequent ones first where some are more frequent."""
        ...


class GroundingBatch(TypedDict):
    """The whole graph, some of its nodes, and for each its text and those of drawn neighbours."""

    x: Float[Tensor, "nodes features"]
    edge_index: Int[Tensor, "2 edges"]
    asked: Int[Tensor, "batch"]
    texts: Int[Tensor, "batch text time"]
    text_lengths: Int[Tensor, "batch text"]


class Retrieval:
    """Share of the nodes whose own text is the nearest one of the batch."""

    def __call__(
        self, *, node_embedding: Float[Tensor, "batch d"], text_embedding: Float[Tensor, "batch d"]
    ) -> tuple[Tensor, int]:
        """Returns the number of hits and the number of nodes."""
        nearest = (node_embedding @ text_embedding.T).argmax(1)
        return (nearest == torch.arange(len(nearest), device=nearest.device)).sum(), len(nearest)


class TextNodes(ABC):
    """A graph of texts. Its batches ground an encoder: nodes with their texts and those of their neighbours.

    Features of a node are its words, each hashed to one of `num_features` places with a sign, and standardised over the
    graph. Nodes of seen classes are split at random into ``train``, ``val`` and ``test``; half of the nodes of unseen
    classes are ``test-unseen``, and the other half ``unseen``. Grounding uses no classes, and all nodes but ``val``.

    Args:
        seed: Orders the training batches and draws neighbours.
        num_features: Features of a node.
        num_neighbours: Neighbours of a node whose texts are drawn, with replacement.
        batch_size: Nodes of a batch.
        max_words: Words of a text that are read.
        vocab_limit: Most words that are known, one for all unknown ones included; null: all.
        val_fraction: Share of the nodes of seen classes that is validated.
        test_fraction: Share of them that is tested.
    """

    splits = ("train", "val")
    metrics: Mapping[str, Any] = {"retrieval": Retrieval}  # Any: classes
    num_features: int
    vocab_size: int
    context_length: int

    def __init__(
        self,
        seed: int,
        num_features: Annotated[int, Ge(1)] = 128,
        num_neighbours: Annotated[int, Ge(1)] = 3,
        batch_size: Annotated[int, Ge(2)] = 64,
        max_words: Annotated[int, Ge(1)] = 16,
        vocab_limit: Annotated[int, Ge(2)] | None = None,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.2,
        test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.2,
    ) -> None:
        if val_fraction + test_fraction >= 1:
            raise ValueError("val_fraction and test_fraction leave no nodes to train on")
        self.seed = seed
        self.num_features = num_features
        self.num_neighbours = num_neighbours
        self.batch_size = batch_size
        self.context_length = max_words
        self.vocab_limit = vocab_limit
        self.fractions = (val_fraction, test_fraction)

    @abstractmethod
    def _load(self) -> TextGraph:
        """Returns the graph. Does all I/O."""

    def prepare(self) -> None:
        self._graph = graph = self._load()
        hashed = hash_words(graph.texts, self.num_features)
        self._mean, self._std = hashed.mean(0), hashed.std(0).clamp(min=1e-6)
        self._x = (hashed - self._mean) / self._std
        words = [text.split() for text in graph.texts]
        self._note_words(Vocabulary.of((word for text in words for word in text), "word", self.vocab_limit).tokens[1:])
        self._lengths = torch.tensor([max(1, min(len(text), self.context_length)) for text in words])
        self._tokens = torch.zeros(graph.num_nodes, self.context_length, dtype=torch.int64)
        for row, text in zip(self._tokens, words, strict=True):
            found = self._vocabulary.encode(text[: self.context_length])
            row[: len(found)] = found
        self._degrees = torch.bincount(graph.edge_index[1], minlength=graph.num_nodes)
        self._starts = self._degrees.cumsum(0) - self._degrees
        self._sources = graph.edge_index[0][graph.edge_index[1].argsort(stable=True)]
        self.parts = self._split(graph)
        free = torch.cat([self.parts["train"], self.parts["unseen"]])
        self._by_class = [free[graph.targets[free] == c].tolist() for c in range(len(graph.labels))]
        kept = torch.ones(graph.num_nodes, dtype=torch.bool)
        kept[self.parts["val"]] = False
        self._grounded = {"train": kept.nonzero().flatten(), "val": self.parts["val"]}

    def _split(self, graph: TextGraph) -> dict[str, Tensor]:
        known = (graph.targets < graph.seen).nonzero().flatten()
        parts = {name: known[part] for name, part in at_random(graph.targets[known], *self.fractions, 0).items()}
        others = (graph.targets >= graph.seen).nonzero().flatten()
        order = others[torch.randperm(len(others), generator=generator("unseen nodes"))]
        half = len(order) // 2
        return {**parts, "test-unseen": order[:half], "unseen": order[half:]}

    def _note_words(self, words: Sequence[str]) -> None:
        self._vocabulary = Vocabulary(words, "word")
        self.vocab_size = len(self._vocabulary)

    def text_graph(self) -> TextGraph:
        """Returns the graph, after `prepare`."""
        return self._graph

    def features(self, texts: Sequence[str]) -> Float[Tensor, "nodes features"]:
        """Returns the features of nodes with these texts."""
        return (hash_words(texts, self.num_features) - self._mean) / self._std

    def draw_text(self, class_number: int, chance: random.Random) -> str:
        """Returns the text of a node of a class that is neither validated nor tested."""
        return self._graph.texts[chance.choice(self._by_class[class_number])]

    def words(self) -> Sequence[str]:
        """Returns the words of all texts, the most frequent ones first."""
        return Vocabulary.of((word for text in self._graph.texts for word in text.split()), "word", None).tokens[1:]

    def batches(self, split: str) -> int:
        return batch_count(len(self._grounded[split]), self.batch_size)

    def batch(self, split: str, i: int, stage: int = 0) -> GroundingBatch:
        nodes = self._grounded[split]
        asked = nodes[rows(len(nodes), self.batch_size, i, seed=self.seed, shuffle=split == "train")]
        drawn = torch.rand(len(asked), self.num_neighbours, generator=generator(self.seed, "neighbours of", split, i))
        places = self._starts[asked].unsqueeze(1) + (drawn * self._degrees[asked].unsqueeze(1)).long()
        alone = (self._degrees[asked] == 0).unsqueeze(1)  # a node without neighbours has its own text around it
        around = torch.where(alone, asked.unsqueeze(1), self._sources[places.clamp(max=len(self._sources) - 1)])
        read = torch.cat([asked.unsqueeze(1), around], 1)
        return {
            "x": self._x,
            "edge_index": self._graph.edge_index,
            "asked": asked,
            "texts": self._tokens[read],
            "text_lengths": self._lengths[read],
        }

    def state_dict(self) -> dict[str, Any]:
        """Returns what a loaded run needs to answer: the words, and what features are standardised with."""
        return {"words": self._vocabulary.tokens[1:], "mean": self._mean, "std": self._std}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._note_words(state["words"])
        self._mean, self._std = state["mean"], state["std"]


def hash_words(texts: Sequence[str], num_features: int) -> Float[Tensor, "nodes features"]:
    """Returns a bag of words of each text: every word adds 1 or -1 at one place, both by its hash."""
    places: dict[str, tuple[int, float]] = {}
    rows, columns, signs = [], [], []
    for row, text in enumerate(texts):
        for word in text.split():
            if word not in places:
                number = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
                places[word] = (number // 2 % num_features, 1.0 if number % 2 else -1.0)
            column, sign = places[word]
            rows.append(row)
            columns.append(column)
            signs.append(sign)
    found = torch.zeros(len(texts), num_features)
    where = torch.tensor(rows, dtype=torch.int64), torch.tensor(columns, dtype=torch.int64)
    return found.index_put_(where, torch.tensor(signs), accumulate=True)
