"""The base of generated tasks: splits, lengths, and batches that are a function of the seed and their index."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from jaxtyping import Bool, Int
from torch import Tensor

from rk.fields import IGNORED
from rk.protocols import Batch, Outputs
from rk.sampling import batch_count, generator
from rk_sequence.fields import TokenBatch
from rk_sequence.metrics import sequence_accuracy, token_accuracy


class GeneratedTask(ABC):
    """Sequences that are generated and never repeat. All sequences of a batch have the same length.

    Args:
        seed: Every sequence is a function of it.
        length: Length in ``train``, ``val`` and ``test``, in the task's own unit.
        test_lengths: A further split ``test-N`` for each of these lengths; null for none.
        batch_size: Sequences per batch.
        val_examples: Sequences in ``val``.
        test_examples: Sequences per test split.

    Raises:
        ValueError: When sequences would be too short for the task.
    """

    readout: Literal["step", "last", "mean"]
    _shortest = 1
    """The least length that the task makes sense with."""

    def __init__(
        self,
        *,
        seed: int,
        length: Annotated[int, Ge(1)],
        test_lengths: list[Annotated[int, Ge(1)]] | None = None,
        batch_size: Annotated[int, Ge(1)] = 64,
        val_examples: Annotated[int, Ge(1)] = 512,
        test_examples: Annotated[int, Ge(1)] = 1024,
    ) -> None:
        if short := [n for n in (length, *(test_lengths or ())) if n < self._shortest]:
            raise ValueError(f"lengths must be >= {self._shortest}, got {short[0]}")
        self.seed = seed
        self.length = length
        self.batch_size = batch_size
        self.test_lengths = {"test": length} | {f"test-{n}": n for n in test_lengths or ()}
        self._examples = {"val": val_examples} | dict.fromkeys(self.test_lengths, test_examples)

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", "val", *self.test_lengths)

    def batches(self, split: str) -> int | None:
        return None if split == "train" else batch_count(self._examples[split], self.batch_size)

    @abstractmethod
    def draw(self, rows: int, length: int, random: torch.Generator) -> Batch:
        """Returns `rows` sequences of `length` and their answers, as fields."""

    def draw_to_train(self, rows: int, length: int, random: torch.Generator) -> Batch:
        """Returns the same for training, where a task may add easier targets."""
        return self.draw(rows, length, random)

    def _drawn(self, split: str, i: int) -> Any:
        """Returns batch `i` of `split`: a function of the seed and these arguments."""
        if split == "train":
            return self.draw_to_train(self.batch_size, self.length, generator(self.seed, 0, i))
        i %= batch_count(self._examples[split], self.batch_size)
        rows = min(self.batch_size, self._examples[split] - i * self.batch_size)
        if split == "val":
            return self.draw(rows, self.length, generator(self.seed, 1, i))
        n = self.test_lengths[split]
        return self.draw(rows, n, generator(self.seed, 1 + n, i))  # a length's tests are the same whatever is tested

    def render(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Draws where in the sequences answers are right, of tasks that ask at each step."""
        if self.readout != "step":
            return []
        from rk_sequence.drawing import draw_positions  # matplotlib: loaded only to draw

        right, asked = self._judged(batch, outputs)
        return [draw_positions(right.cpu(), asked.cpu(), out)]

    def _judged(self, batch: Batch, outputs: Outputs) -> tuple[Bool[Tensor, "b t"], Bool[Tensor, "b t"]]:
        """Returns which answers are right, and which steps are asked about."""
        return outputs["logits"].argmax(-1) == batch["targets"], batch["targets"] != IGNORED


class TokenTask(GeneratedTask):
    """A generated task of tokens; by default, with an answer at each step."""

    metrics = {"accuracy": token_accuracy, "sequence-accuracy": sequence_accuracy}
    num_features: None = None
    readout: Literal["step"] = "step"

    def batch(self, split: str, i: int, stage: int = 0) -> TokenBatch:
        return self._drawn(split, i)


def integers(high: int, shape: tuple[int, ...], random: torch.Generator) -> Int[Tensor, "*shape"]:
    """Returns numbers from 0 to `high` - 1, all equally likely."""
    return torch.randint(high, shape, generator=random)
