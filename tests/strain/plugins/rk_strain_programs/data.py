from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

import torch
from jaxtyping import Float
from torch import Tensor

from rk import UserError
from rk.reading import read_text
from rk.sampling import generator


class SumBatch(TypedDict):
    inputs: Float[Tensor, "batch 2"]
    targets: Float[Tensor, "batch"]
    note_meta: list[str]


def right(*, values: Float[Tensor, "batch"], targets: Float[Tensor, "batch"]) -> tuple[Tensor, int]:
    return (values == targets).float().sum(), len(targets)


class Sums:
    """Two numbers and what a hidden program makes of them.

    Args:
        seed: Seeds the numbers.
    """

    splits = ("val", "test")
    metrics = {"right": right}

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def batches(self, split: str) -> int:
        return 2

    def batch(self, split: str, i: int, stage: int = 0) -> SumBatch:
        inputs = torch.randint(-9, 10, (20, 2), generator=generator(self.seed, split, i)).float()
        return {"inputs": inputs, "targets": inputs[:, 0] * 2 + inputs[:, 1] + 3, "note_meta": [split] * 20}

    def read(self, path: Path) -> SumBatch:
        try:
            numbers = [float(word) for word in read_text(path).split()]
            inputs = torch.tensor(numbers).view(1, 2)
        except (ValueError, RuntimeError):
            raise UserError(f"{path} must hold two numbers") from None
        return {"inputs": inputs, "targets": torch.zeros(1), "note_meta": [path.stem]}

    def answers(self, batch: SumBatch, outputs: dict[str, Tensor]) -> list[dict[str, Any]]:
        return [{"value": float(value)} for value in outputs["values"]]
