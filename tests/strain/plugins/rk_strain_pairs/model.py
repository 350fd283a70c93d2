from __future__ import annotations

from typing import TypedDict

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from rk import Data, Objective, Runtime


class Scores(TypedDict):
    scores: Float[Tensor, "batch candidates"]


class Matcher(nn.Module):
    """Means of word vectors, weighted by how rare the words are, compared through a linear map.

    Args:
        vocab_size: A fact.
        d_model: Width of a word.
    """

    def __init__(self, vocab_size: int, d_model: int = 8) -> None:
        super().__init__()
        self.words = nn.Embedding(vocab_size, d_model, sparse=True)
        self.map = nn.Linear(d_model, d_model)
        self.map.weight.lr_scale = 0.5
        self.register_buffer("rarity", torch.ones(vocab_size))

    def begin(self, *, data: Data, runtime: Runtime) -> None:
        """Inverse document frequencies, from some batches."""
        counts = torch.zeros_like(self.rarity)
        for batch in runtime.batches(data, "train", limit=4):
            counts += torch.bincount(batch["candidates"].flatten(), minlength=len(counts))
        self.rarity.copy_((counts.sum() / (1 + counts)).log())

    def forward(
        self, *, query: Int[Tensor, "batch words"], candidates: Int[Tensor, "batch candidates words"]
    ) -> Scores:
        return {"scores": (self.map(self.mean(query))[:, None] * self.mean(candidates)).sum(-1)}

    def mean(self, words: Tensor) -> Tensor:
        rarity = self.rarity[words][..., None]
        return (self.words(words) * rarity).sum(-2) / rarity.sum(-2)


class Listwise:
    """Cross-entropy over the list, and a small weight on the size of the scores.

    Args:
        size: Weight of the mean square of the scores.
    """

    def __init__(self, size: float = 0.01) -> None:
        self.size = size

    def __call__(self, *, scores: Float[Tensor, "batch candidates"], targets: Int[Tensor, "batch"]) -> Objective:
        loss = functional.cross_entropy(scores, targets, reduction="sum")
        return {"list": (loss, len(targets)), "size": (scores.square().sum(), scores.numel(), self.size)}
