"""The data `set-tasks` and `neighbour-tasks`: one number about a set of integers, or about the neighbours of a node."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import torch
from annotated_types import Ge, Gt, Le
from jaxtyping import Float, Int
from rk_graphs.aggregators import side_by_side
from torch import Tensor

from rk.fields import GraphBatch
from rk.protocols import Batch, Outputs
from rk.sampling import batch_count, generator
from rk_lcm.bits import ExactMatch, bit_accuracy, from_bits, to_bits
from rk_lcm.reading import read_graphs, read_sets
from rk_lcm.tasks import Task, answer, answer_bits


class SetBatch(TypedDict):
    """Sets, flat, as graphs without edges, and the bits of an answer for each."""

    x: Float[Tensor, "nodes features"]
    graph_index: Int[Tensor, "nodes"]
    graph_sizes: Int[Tensor, "graphs"]
    targets: Float[Tensor, "items outputs"]


class NeighbourBatch(GraphBatch):
    """Graphs, and the bits of an answer for each node."""

    targets: Float[Tensor, "items outputs"]


class IntegerTask(ABC):
    """Random integers in binary, and what is asked about groups of them; larger sizes are tested than trained.

    Examples of ``train`` and ``val`` have `train_min_size` to `train_max_size` integers, and each of `test_sizes` has
    its split, ``test-16``. All examples of a batch have the same size. Training never repeats.

    Args:
        seed: Every example is a function of it.
        task: What is asked. ``kth-min``: the k-th smallest, equal values counted as often as they occur; ``mod-sum``:
            the sum modulo 2^value_bits; ``distinct-count``: how many values differ. Of an empty group, and of one with
            fewer than k: the largest value for minima, 0 for all other tasks.
        value_bits: Bits of an integer: values are 0 to 2^value_bits - 1, all equally likely.
        k: Which minimum ``kth-min`` asks for.
        train_min_size: The fewest integers of an example in training.
        train_max_size: The most integers of an example in training.
        test_sizes: A split ``test-N`` for each.
        batch_size: Examples per batch.
        val_examples: Examples in ``val``.
        test_examples: Examples per test split.

    Raises:
        ValueError: When `train_min_size` is above `train_max_size`, or `test_sizes` is empty.
    """

    metrics = {"exact-match": ExactMatch, "bit-accuracy": bit_accuracy}
    num_features: int
    num_outputs: int
    level: Literal["node", "graph"]

    def __init__(
        self,
        seed: int,
        task: Task = "second-min",
        value_bits: Annotated[int, Ge(1), Le(16)] = 8,
        k: Annotated[int, Ge(1)] = 3,
        train_min_size: Annotated[int, Ge(1)] = 2,
        train_max_size: Annotated[int, Ge(1)] = 16,
        test_sizes: tuple[Annotated[int, Ge(1)], ...] = (16, 32, 64, 128),
        batch_size: Annotated[int, Ge(1)] = 128,
        val_examples: Annotated[int, Ge(1)] = 512,
        test_examples: Annotated[int, Ge(1)] = 1000,
    ) -> None:
        if train_min_size > train_max_size:
            raise ValueError(f"train_min_size must be <= train_max_size, got {train_min_size} > {train_max_size}")
        if not test_sizes:
            raise ValueError("test_sizes must not be empty")
        self.seed = seed
        self.task: Task = task
        self.value_bits = value_bits
        self.k = k
        self.train_sizes = (train_min_size, train_max_size)
        self.test_sizes = {f"test-{n}": n for n in test_sizes}
        self.batch_size = batch_size
        self._examples = {"val": val_examples} | dict.fromkeys(self.test_sizes, test_examples)
        self.num_features = value_bits
        self.num_outputs = answer_bits(task, value_bits, max(train_max_size, *test_sizes))

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", "val", *self.test_sizes)

    def batches(self, split: str) -> int | None:
        return None if split == "train" else batch_count(self._examples[split], self.batch_size)

    @abstractmethod
    def _draw(self, examples: int, size: int, random: torch.Generator) -> Any:
        """Returns so many examples of `size` integers, as a batch."""

    def _drawn(self, split: str, i: int) -> Any:
        """Returns batch `i` of `split`: a function of the seed and these arguments."""
        rows, size = self.batch_size, self.test_sizes.get(split, 0)
        if split != "train":
            i %= batch_count(self._examples[split], self.batch_size)
            rows = min(rows, self._examples[split] - i * self.batch_size)
        random = generator(self.seed, "sets", "test" if size else split, size, i)
        if not size:  # training and validation
            size = int(torch.randint(self.train_sizes[0], self.train_sizes[1] + 1, (), generator=random))
        return self._draw(rows, size, random)

    def _values(self, count: int, random: torch.Generator) -> Int[Tensor, "count"]:
        return torch.randint(2**self.value_bits, (count,), generator=random)

    def _targets(
        self, values: Int[Tensor, "items"], index: Int[Tensor, "items"], num_groups: int
    ) -> Float[Tensor, "groups outputs"]:
        """Returns the bits of the right answer for each group of integers."""
        grouped, mask = side_by_side(values.unsqueeze(-1), index, num_groups)
        found = answer(self.task, grouped.squeeze(-1), mask, value_bits=self.value_bits, k=self.k)
        return to_bits(found, self.num_outputs)

    def render(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Draws answers against right answers."""
        from rk_lcm.drawing import draw_answers

        return [draw_answers(from_bits(batch["targets"]).tolist(), from_bits(outputs["logits"] > 0).tolist(), out)]


class SetTasks(IntegerTask):
    """One number about a set of integers: the second minimum, the sum, how many differ.

    `rk predict` takes sets as JSON lines, ``{"values": [3, 17, 4]}``, or as rows of a table.

    Examples:
        data: {name: set-tasks, task: second-min, value_bits: 6, test_sizes: [16, 128]}
    """

    def __init__(self, **common: Any) -> None:
        super().__init__(**common)
        self.level = "graph"

    def batch(self, split: str, i: int, stage: int = 0) -> SetBatch:
        return self._drawn(split, i)

    def _draw(self, examples: int, size: int, random: torch.Generator) -> SetBatch:
        return self._asked(self._values(examples * size, random), torch.full((examples,), size))

    def _asked(self, values: Int[Tensor, "nodes"], sizes: Int[Tensor, "graphs"]) -> SetBatch:
        graph_index = torch.arange(len(sizes)).repeat_interleave(sizes)
        return {
            "x": to_bits(values, self.value_bits),
            "graph_index": graph_index,
            "graph_sizes": sizes,
            "targets": self._targets(values, graph_index, len(sizes)),
        }

    def read(self, path: Path) -> SetBatch:
        """Reads a user's sets. The right answers are fields too: they can be computed."""
        sets = read_sets(path, 2**self.value_bits - 1)
        return self._asked(_flat(sets), torch.tensor([len(values) for values in sets]))

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns for each set the answer, how sure its least sure bit is, and the right answer."""
        each = zip(*_readable(batch, outputs), strict=True)
        return [{"answer": found, "probability": sure, "right": right} for found, sure, right in each]


class NeighbourTasks(IntegerTask):
    """One number about the neighbours of each node of a random graph, such as their second smallest value.

    Graphs are those of Erdos and Renyi: each pair of nodes is linked with the same probability, so nodes of larger
    graphs have more neighbours. `rk predict` takes graphs as JSON lines, ``{"values": [3, 17, 4], "edges": [[0, 1], [1,
    2]]}``; edges have no direction.

    Args:
        edge_probability: Share of all pairs of nodes that are linked.

    Examples:
        data: {name: neighbour-tasks, task: second-min, value_bits: 6, batch_size: 16}
    """

    def __init__(self, edge_probability: Annotated[float, Gt(0), Le(1)] = 0.3, **common: Any) -> None:
        super().__init__(**common)
        self.edge_probability = edge_probability
        self.level = "node"

    def batch(self, split: str, i: int, stage: int = 0) -> NeighbourBatch:
        return self._drawn(split, i)

    def _draw(self, examples: int, size: int, random: torch.Generator) -> NeighbourBatch:
        values = self._values(examples * size, random)
        edges = random_edges(examples, size, self.edge_probability, random)
        return self._asked(values, torch.full((examples,), size), edges)

    def _asked(
        self, values: Int[Tensor, "nodes"], sizes: Int[Tensor, "graphs"], edge_index: Int[Tensor, "2 edges"]
    ) -> NeighbourBatch:
        return {
            "x": to_bits(values, self.value_bits),
            "edge_index": edge_index,
            "graph_index": torch.arange(len(sizes)).repeat_interleave(sizes),
            "graph_sizes": sizes,
            "targets": self._targets(values[edge_index[0]], edge_index[1], len(values)),
        }

    def read(self, path: Path) -> NeighbourBatch:
        """Reads a user's graphs. The right answers are fields too: they can be computed."""
        graphs = read_graphs(path, 2**self.value_bits - 1)
        sizes = torch.tensor([len(graph.values) for graph in graphs])
        starts = (sizes.cumsum(0) - sizes).tolist()
        edges = [(a + start, b + start) for graph, start in zip(graphs, starts, strict=True) for a, b in graph.edges]
        one_way = torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T
        both_ways = torch.cat([one_way, one_way.flip(0)], 1).unique(dim=1)
        return self._asked(_flat([graph.values for graph in graphs]), sizes, both_ways)

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns for each graph the answer of each node, how sure its least sure bit is, and the right answer."""
        found, sure, right = _readable(batch, outputs)
        ends = batch["graph_sizes"].cumsum(0).tolist()
        spans = [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
        return [{"answers": found[s], "probabilities": sure[s], "right": right[s]} for s in spans]


def _flat(sets: Sequence[Sequence[int]]) -> Int[Tensor, "nodes"]:
    return torch.tensor([value for values in sets for value in values], dtype=torch.int64)


def _readable(batch: Batch, outputs: Outputs) -> tuple[list[int], list[float], list[int]]:
    """Returns the answers, how sure the least sure bit of each is, and the right answers."""
    logits = outputs["logits"]
    sure = [round(p, 4) for p in logits.abs().sigmoid().amin(-1).tolist()]
    return from_bits(logits > 0).tolist(), sure, from_bits(batch["targets"]).tolist()


def random_edges(graphs: int, size: int, probability: float, random: torch.Generator) -> Int[Tensor, "2 edges"]:
    """Returns the edges of so many Erdos-Renyi graphs with `size` nodes, both ways, ordered by their targets.

    Nodes are numbered through all graphs: node v of graph g is g * size + v.
    """
    upper = torch.rand(graphs, size, size, generator=random).triu(1) > 1 - probability
    graph, target, source = (upper | upper.mT).nonzero(as_tuple=True)
    return torch.stack([graph * size + source, graph * size + target])
