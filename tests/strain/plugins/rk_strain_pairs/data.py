from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rk import UserError
from rk.reading import read_json
from rk.sampling import generator

TOPICS, WORDS, CANDIDATES = 8, 12, 5


class ListBatch(TypedDict):
    query: Int[Tensor, "batch words"]
    candidates: Int[Tensor, "batch candidates words"]
    targets: Int[Tensor, "batch"]


def first_rank(*, scores: Float[Tensor, "batch candidates"], targets: Int[Tensor, "batch"]) -> tuple[Tensor, int]:
    rank = (scores > scores.gather(1, targets[:, None])).sum(1) + 1
    return (1.0 / rank).sum(), len(targets)


class WordLists:
    """A query of three words and five candidates, one of which is about the same topic.

    Args:
        seed: Seeds the lists.
        batch_size: Queries per batch.
    """

    splits = ("train", "val", "test")
    metrics = {"mrr": first_rank}

    def __init__(self, seed: int, batch_size: int = 32) -> None:
        self.seed = seed
        self.batch_size = batch_size

    @property
    def vocab_size(self) -> int:
        return TOPICS * WORDS

    def batches(self, split: str) -> int | None:
        return None if split == "train" else 4

    def batch(self, split: str, i: int, stage: int = 0) -> ListBatch:
        g = generator(self.seed, split, i)
        topics = torch.stack([torch.randperm(TOPICS, generator=g)[:CANDIDATES] for _ in range(self.batch_size)])
        targets = torch.randint(CANDIDATES, (self.batch_size,), generator=g)
        wanted = topics.gather(1, targets[:, None])
        words = torch.randint(WORDS, (self.batch_size, 1 + CANDIDATES, 3), generator=g)
        text = torch.cat([wanted, topics], 1)[..., None] * WORDS + words
        return {"query": text[:, 0], "candidates": text[:, 1:], "targets": targets}

    def read(self, path: Path) -> ListBatch:
        found: Any = read_json(path)
        if not isinstance(found, dict) or not {"query", "candidates"} <= found.keys():
            raise UserError(f"{path} must hold query and candidates")
        query = torch.tensor([found["query"]])
        return {"query": query, "candidates": torch.tensor([found["candidates"]]), "targets": torch.zeros(1).long()}

    def answers(self, batch: ListBatch, outputs: dict[str, Tensor]) -> list[dict[str, Any]]:
        return [{"best": int(row.argmax())} for row in outputs["scores"]]
