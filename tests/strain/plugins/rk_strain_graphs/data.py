from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rk import UserError
from rk.builtin.metrics import Accuracy
from rk.reading import read_json
from rk.sampling import generator


class GraphBatch(TypedDict):
    x: Float[Tensor, "nodes 1"]
    edge_index: Int[Tensor, "2 edges"]
    graph_index: Int[Tensor, "nodes"]
    graph_sizes: Int[Tensor, "graphs"]
    targets: Int[Tensor, "graphs"]


class Rings:
    """Rings, and rings that are cut open: which is which.

    Args:
        seed: Seeds the graphs.
    """

    splits = ("train", "val", "test")
    metrics = {"accuracy": Accuracy}

    def __init__(self, seed: int) -> None:
        self.seed = seed

    @property
    def num_classes(self) -> int:
        return 2

    def batches(self, split: str) -> int | None:
        return None if split == "train" else 3

    def batch(self, split: str, i: int, stage: int = 0) -> GraphBatch:
        g = generator(self.seed, split, i)
        sizes = torch.randint(4, 8, (16,), generator=g)
        return joined(sizes.tolist(), torch.randint(2, (16,), generator=g).tolist())

    def read(self, path: Path) -> GraphBatch:
        found = read_json(path)
        if not isinstance(found, dict) or not isinstance(found.get("size"), int):
            raise UserError(f"{path} must hold the size of a ring")
        return joined([found["size"]], [int(bool(found.get("cut")))])

    def answers(self, batch: GraphBatch, outputs: dict[str, Tensor]) -> list[dict[str, Any]]:
        return [{"cut": bool(row.argmax())} for row in outputs["logits"]]


def joined(sizes: list[int], cut: list[int]) -> GraphBatch:
    edges, first = [], 0
    for size, is_cut in zip(sizes, cut, strict=True):
        ring = [(first + a, first + (a + 1) % size) for a in range(size - is_cut)]
        edges += [*ring, *((b, a) for a, b in ring)]
        first += size
    counts = torch.tensor(sizes)
    return {
        "x": torch.ones(first, 1),
        "edge_index": torch.tensor(edges).T,
        "graph_index": torch.arange(len(sizes)).repeat_interleave(counts),
        "graph_sizes": counts,
        "targets": torch.tensor(cut),
    }
