"""The data `sine-classes`: ten classes of Gaussian inputs, generated."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Ge

from rk.builtin.metrics import Accuracy
from rk.fields import ClassificationBatch
from rk.sampling import batch_count, generator, rows


class SineClasses:
    """Classes argmax(sin(x A / sqrt(5)) B) of x ~ N(0, 1) in 20 dimensions, with Gaussian A (20, 30) and B (30, 10).

    Smooth, and learned slowly by deep networks; the most frequent class of the test split has 13.7%. A, B and the
    examples do not depend on the seed of the run.

    Args:
        seed: Orders the training batches.
        batch_size: Examples per batch.
        train_size: Examples to train on.
        test_size: Examples to test on; half as many are validated.

    Examples:
        data: {name: sine-classes, batch_size: 100}
    """

    splits = ("train", "val", "test")
    metrics = {"accuracy": Accuracy}
    num_features: int = 20
    num_classes: int = 10

    def __init__(
        self,
        seed: int,
        batch_size: Annotated[int, Ge(1)] = 100,
        train_size: Annotated[int, Ge(1)] = 3000,
        test_size: Annotated[int, Ge(2)] = 2000,
    ) -> None:
        self.seed = seed
        self.batch_size = batch_size
        self.sizes = {"train": train_size, "val": test_size // 2, "test": test_size}

    def prepare(self) -> None:
        random = generator("sine-classes")
        a = torch.randn(20, 30, generator=random)
        b = torch.randn(30, 10, generator=random)
        self._rows = {}
        for split, size in self.sizes.items():
            inputs = torch.randn(size, 20, generator=generator("sine-classes", split))
            self._rows[split] = (inputs, (torch.sin(inputs @ a / math.sqrt(5)) @ b).argmax(1))

    def batches(self, split: str) -> int:
        return batch_count(len(self._rows[split][1]), self.batch_size)

    def batch(self, split: str, i: int, stage: int = 0) -> ClassificationBatch:
        inputs, targets = self._rows[split]
        chosen = rows(len(targets), self.batch_size, i, seed=self.seed, shuffle=split == "train")
        return {"inputs": inputs[chosen], "targets": targets[chosen]}
