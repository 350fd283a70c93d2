"""The data `text-graph`: a stochastic block model whose nodes have texts that hint at their class."""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Le, Lt
from rk_graphs.block_model import block_edges
from rk_graphs.graph import both_ways

from rk.sampling import generator
from rk_graphgpt.text_nodes import TextGraph, TextNodes

CONSONANTS, VOWELS = "bcdfghklmnprstvz", "aeiou"


class TextSBM(TextNodes):
    """Two block models of texts, one of seen classes and one of unseen ones: for zero-shot answers.

    Each word of a text is a topic word of the node's class with probability `topic_rate`, one of any class with
    `noise_rate`, and else a common word. So a text alone leaves its class open, and the texts of its neighbours decide.

    Args:
        num_nodes: Nodes of seen classes. There are as many nodes of each unseen class as of a seen one.
        num_classes: Seen classes.
        unseen_classes: Classes that are not trained on; their nodes are a graph of their own.
        topic_words: Topic words of a class.
        common_words: Words of no class.
        min_words: Words of the shortest texts.
        text_words: Words of the longest texts.
        topic_rate: How often a word is a topic word of the node's class.
        noise_rate: How often it is a topic word of a random class of the same graph.
        degree: Mean number of neighbours.
        within: Share of the edges that join nodes of a class.
        graph_seed: Draws the graph; splits and batches do not depend on it.

    Examples:
        data: {name: text-graph, num_nodes: 600, topic_rate: 0.2}
    """

    def __init__(
        self,
        num_nodes: Annotated[int, Ge(20)] = 600,
        num_classes: Annotated[int, Ge(2)] = 4,
        unseen_classes: Annotated[int, Ge(2)] = 4,
        topic_words: Annotated[int, Ge(1)] = 20,
        common_words: Annotated[int, Ge(1)] = 200,
        min_words: Annotated[int, Ge(1)] = 6,
        text_words: Annotated[int, Ge(1)] = 8,
        topic_rate: Annotated[float, Ge(0), Le(1)] = 0.2,
        noise_rate: Annotated[float, Ge(0), Le(1)] = 0.1,
        degree: Annotated[float, Gt(0)] = 8.0,
        within: Annotated[float, Gt(0), Lt(1)] = 0.9,
        graph_seed: int = 0,
        **nodes: Any,
    ) -> None:
        super().__init__(**nodes)
        if topic_rate + noise_rate > 1:
            raise ValueError("topic_rate and noise_rate together must be at most 1")
        if min_words > text_words:
            raise ValueError(f"min_words must be at most text_words, got {min_words} and {text_words}")
        self.sizes = (num_nodes, num_classes, unseen_classes)
        self.counts = (topic_words, common_words)
        self.lengths = (min_words, text_words)
        self.rates = (topic_rate, noise_rate)
        self.edges = (degree, within)
        self.graph_seed = graph_seed

    def _load(self) -> TextGraph:
        num_nodes, seen, unseen = self.sizes
        draws, chance = generator("text-graph", self.graph_seed), random.Random(f"texts {self.graph_seed}")
        edges, targets, start = [], [], 0
        for first, count, size in ((0, seen, num_nodes), (seen, unseen, num_nodes * unseen // seen)):
            classes = torch.arange(size) % count
            same, other = self._probabilities(size, count)
            edges.append(both_ways(block_edges(classes, same, other, draws), size) + start)
            targets.append(classes + first)
            start += size
        numbers = torch.cat(targets)
        texts = tuple(self.draw_text(c, chance) for c in numbers.tolist())
        return TextGraph(texts, torch.cat(edges, 1), numbers, class_names(seen + unseen), seen)

    def _probabilities(self, nodes: int, classes: int) -> tuple[float, float]:
        """Returns how probable an edge is within a class and between classes."""
        degree, within = self.edges
        size = nodes / classes
        return min(1.0, degree * within / (size - 1)), min(1.0, degree * (1 - within) / (nodes - size))

    def draw_text(self, class_number: int, chance: random.Random) -> str:
        """Returns a new text of a class: there are as many as are asked for."""
        topic, common = self.counts
        topic_rate, noise_rate = self.rates
        shortest, longest = self.lengths
        _, seen, unseen = self.sizes
        first, count = (0, seen) if class_number < seen else (seen, unseen)
        found = []
        for _ in range(chance.randint(shortest, longest)):
            kind = chance.random()
            if kind < topic_rate:
                number = class_number * topic + chance.randrange(topic)
            elif kind < topic_rate + noise_rate:
                number = (first + chance.randrange(count)) * topic + chance.randrange(topic)
            else:
                number = (seen + unseen) * topic + chance.randrange(common)
            found.append(word(number))
        return " ".join(found)

    def words(self) -> Sequence[str]:
        """Returns the words that texts may have."""
        (topic, common), (_, seen, unseen) = self.counts, self.sizes
        return [word(number) for number in range((seen + unseen) * topic + common)]


@functools.cache
def word(number: int) -> str:
    """Returns an invented word of three syllables, another one for each number below 512000."""
    number = number * 7919 % 512000  # words with near numbers do not look alike
    syllables = []
    for _ in range(3):
        number, part = divmod(number, len(CONSONANTS) * len(VOWELS))
        syllables.append(CONSONANTS[part // len(VOWELS)] + VOWELS[part % len(VOWELS)])
    return "".join(reversed(syllables))


def class_names(count: int) -> tuple[str, ...]:
    """Returns names of classes, which are not words of texts."""
    return tuple(f"topic-{number}" for number in range(1, count + 1))
