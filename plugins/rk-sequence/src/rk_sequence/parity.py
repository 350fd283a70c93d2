"""Task `parity`: after each bit, is the number of ones so far odd?"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge

from rk.protocols import Batch
from rk_sequence.fields import TokenBatch
from rk_sequence.metrics import sequence_accuracy, token_accuracy
from rk_sequence.task import GeneratedTask, integers


class Parity(GeneratedTask):
    """Running parity of random bits: one bit of state that must never be lost, nor forgotten by degrees.

    Args:
        seed: Every sequence is a function of it.
        length: Bits in ``train``, ``val`` and ``test``.
        test_lengths: A further split ``test-N`` for each of these lengths; null for none.
        batch_size: Sequences per batch.
        val_examples: Sequences in ``val``.
        test_examples: Sequences per test split.
    """

    metrics = {"accuracy": token_accuracy, "sequence-accuracy": sequence_accuracy}
    vocab_size: int = 2
    num_features: None = None
    num_outputs: int = 2
    readout: Literal["step"] = "step"

    def __init__(
        self,
        *,
        seed: int,
        length: Annotated[int, Ge(1)] = 32,
        test_lengths: list[Annotated[int, Ge(1)]] | None = None,
        batch_size: Annotated[int, Ge(1)] = 128,
        val_examples: Annotated[int, Ge(1)] = 512,
        test_examples: Annotated[int, Ge(1)] = 1024,
    ) -> None:
        super().__init__(
            seed=seed,
            length=length,
            test_lengths=test_lengths,
            batch_size=batch_size,
            val_examples=val_examples,
            test_examples=test_examples,
        )

    def batch(self, split: str, i: int, stage: int = 0) -> TokenBatch:
        return self._drawn(split, i)

    def draw(self, rows: int, length: int, random: torch.Generator) -> Batch:
        bits = integers(2, (rows, length), random)
        return {"tokens": bits, "targets": bits.cumsum(1) % 2}
