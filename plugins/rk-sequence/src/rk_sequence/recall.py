"""Task `associative-recall`: pairs of keys and values, then keys alone: which value was it?"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch.nn import functional as F

from rk.protocols import Batch
from rk_sequence.fields import IGNORED, TokenBatch
from rk_sequence.metrics import sequence_accuracy, token_accuracy
from rk_sequence.task import GeneratedTask, integers


class AssociativeRecall(GeneratedTask):
    """Multi-query associative recall (arXiv:2312.04927): ``k1 v1 k2 v2 ... kn vn``, then all keys in another order.

    The answer to each of the latter is the value that stood behind the key; no other step has a target. Keys of a
    sequence differ, values may repeat. Train it with the loss ``{name: cross-entropy, ignore_index: -100}``.

    Args:
        seed: Every sequence is a function of it.
        n_pairs: Pairs of a sequence in ``train``, ``val`` and ``test``.
        test_pairs: A further split ``test-N`` for each of these numbers of pairs; null for none.
        batch_size: Sequences per batch.
        val_examples: Sequences in ``val``.
        test_examples: Sequences per test split.
        n_keys: Different keys.
        n_values: Different values.

    Raises:
        ValueError: When there are fewer keys than pairs.
    """

    metrics = {"accuracy": token_accuracy, "sequence-accuracy": sequence_accuracy}
    num_features: None = None
    readout: Literal["step"] = "step"

    def __init__(
        self,
        *,
        seed: int,
        n_pairs: Annotated[int, Ge(1)] = 8,
        test_pairs: list[Annotated[int, Ge(1)]] | None = None,
        batch_size: Annotated[int, Ge(1)] = 64,
        val_examples: Annotated[int, Ge(1)] = 512,
        test_examples: Annotated[int, Ge(1)] = 1024,
        n_keys: Annotated[int, Ge(1)] = 32,
        n_values: Annotated[int, Ge(2)] = 32,
    ) -> None:
        super().__init__(
            seed=seed,
            length=n_pairs,
            test_lengths=test_pairs,
            batch_size=batch_size,
            val_examples=val_examples,
            test_examples=test_examples,
        )
        most = max(n_pairs, *(test_pairs or [0]))
        if n_keys < most:
            raise ValueError(f"{n_keys} keys are not enough for {most} pairs")
        self.n_keys = n_keys
        self.n_values = n_values

    @property
    def vocab_size(self) -> int:
        """The keys, then the values."""
        return self.n_keys + self.n_values

    @property
    def num_outputs(self) -> int:
        """The values."""
        return self.n_values

    def batch(self, split: str, i: int, stage: int = 0) -> TokenBatch:
        return self._drawn(split, i)

    def draw(self, rows: int, length: int, random: torch.Generator) -> Batch:
        keys = torch.rand(rows, self.n_keys, generator=random).argsort(1)[:, :length]
        values = integers(self.n_values, (rows, length), random)
        order = torch.rand(rows, length, generator=random).argsort(1)
        pairs = torch.stack([keys, self.n_keys + values], -1).flatten(1)
        return {
            "tokens": torch.cat([pairs, keys.gather(1, order)], 1),
            "targets": F.pad(values.gather(1, order), (2 * length, 0), value=IGNORED),
        }
