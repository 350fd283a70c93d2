"""The data `block-model`: graphs whose nodes have classes, edges mostly within a class, and words that hint at it."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Le
from jaxtyping import Int
from torch import Tensor

from rk.sampling import generator
from rk_graphs.graph import Graph, both_ways, rows_to_one
from rk_graphs.node_data import NodeData


class BlockModel(NodeData):
    """A contextual stochastic block model (Deshpande et al., arXiv:1807.09596): edges and words hint at classes.

    Two nodes of a class are linked with one probability, two of different classes with another. Features are a bag of
    words: each class has topic words, which its nodes have more often.

    Args:
        num_nodes: Nodes.
        num_classes: Classes, of about the same size.
        num_words: Features.
        topic_words: Words of a class that are more frequent in it.
        word_rate: How often a node has a word.
        topic_rate: How often it has a topic word of its class.
        within: Probability of an edge within a class.
        across: Probability of an edge between classes.
        graph_seed: Draws the graph; splits and batches do not depend on it.

    Examples:
        data: {name: block-model, num_nodes: 500, within: 0.03, across: 0.003}
    """

    def __init__(
        self,
        num_nodes: Annotated[int, Ge(10)] = 1000,
        num_classes: Annotated[int, Ge(2)] = 5,
        num_words: Annotated[int, Ge(1)] = 200,
        topic_words: Annotated[int, Ge(0)] = 25,
        word_rate: Annotated[float, Ge(0), Le(1)] = 0.02,
        topic_rate: Annotated[float, Ge(0), Le(1)] = 0.06,
        within: Annotated[float, Gt(0), Le(1)] = 0.02,
        across: Annotated[float, Ge(0), Le(1)] = 0.004,
        graph_seed: int = 0,
        **nodes: Any,
    ) -> None:
        super().__init__(**nodes)
        if num_classes * topic_words > num_words:
            raise ValueError(f"{num_classes} classes with {topic_words} topic words need more than {num_words} words")
        self.sizes = (num_nodes, num_classes, num_words, topic_words)
        self.rates = (word_rate, topic_rate, within, across)
        self.graph_seed = graph_seed

    def _load(self) -> Graph:
        num_nodes, num_classes, num_words, topic_words = self.sizes
        word_rate, topic_rate, within, across = self.rates
        random = generator("block-model", self.graph_seed)
        classes = torch.arange(num_nodes) % num_classes
        rate = torch.full((num_classes, num_words), word_rate)
        for c in range(num_classes):
            rate[c, c * topic_words : (c + 1) * topic_words] = topic_rate
        words = (torch.rand(num_nodes, num_words, generator=random) < rate[classes]).float()
        edges = both_ways(block_edges(classes, within, across, random), num_nodes)
        return Graph(rows_to_one(words), edges, classes, tuple(f"class {c}" for c in range(num_classes)))


def block_edges(
    classes: Int[Tensor, "nodes"], within: float, across: float, random: torch.Generator
) -> Int[Tensor, "2 edges"]:
    """Returns edges drawn between every two nodes, from the lower number to the higher.

    Args:
        classes: (nodes,) The class of each node.
        within: Probability of an edge between nodes of a class.
        across: Probability of an edge between nodes of different classes.
        random: Draws the edges.
    """
    found = []
    rows = max(1, 20_000_000 // len(classes))  # rows of the table of pairs at a time: memory stays bounded
    for start in range(0, len(classes), rows):
        mine = classes[start : start + rows]
        rate = torch.where(mine.unsqueeze(1) == classes, within, across)
        linked = torch.rand(rate.shape, generator=random) < rate
        source, target = linked.nonzero(as_tuple=True)
        source = source + start
        found.append(torch.stack([source, target])[:, source < target])
    return torch.cat(found, 1)
