"""The base of both tasks: random bits, and a question about the last N of them for every N that a stage asks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from jaxtyping import Float, Int
from rk_sequence.fields import StepsBatch
from torch import Tensor

from rk.fields import IGNORED
from rk.protocols import Share
from rk.sampling import batch_count, generator
from rk_timescales.growth import Growth, Schedule

# b batch, t time


class HeadsBatch(StepsBatch):
    """Bits, and for each head the class that it must answer, -100 where it is not asked."""

    inputs: Float[Tensor, "batch time features"]
    targets: Int[Tensor, "batch heads"]


def head_accuracy(*, logits: Float[Tensor, "batch outputs"], targets: Int[Tensor, "batch heads"]) -> Share:
    """Share of right answers of all heads that are asked."""
    right = right_answers(logits, targets)
    return right.sum(), right.numel()


def newest_accuracy(*, logits: Float[Tensor, "batch outputs"], targets: Int[Tensor, "batch heads"]) -> Share:
    """Share of right answers of the last head that is asked: that of the largest N."""
    right = right_answers(logits, targets)[:, -1]
    return right.sum(), len(right)


def right_answers(logits: Float[Tensor, "b outputs"], targets: Int[Tensor, "b heads"]) -> Tensor:
    """Returns which answers are right, of (b, heads that are asked)."""
    scores, asked = asked_heads(logits, targets)
    return scores.argmax(-1) == asked


def asked_heads(logits: Float[Tensor, "b outputs"], targets: Int[Tensor, "b heads"]) -> tuple[Tensor, Tensor]:
    """Returns scores of (b, asked, 2) and targets of (b, asked). All sequences of a batch ask the same heads."""
    asked = (targets[0] != IGNORED).nonzero().flatten()
    return logits.unflatten(-1, (-1, 2))[:, asked], targets[:, asked]


class WindowTask(ABC):
    """Sequences of random bits with a question of two classes about the last N, for growing N (arXiv:2309.12927).

    A stage of the trainer's curriculum asks some N, see `schedule`. Each N has two outputs of the model, its head; head
    k answers for N = `first` + k. All sequences of a batch have one length, drawn from ``largest N asked + margin`` on,
    with ``reach x largest N`` lengths. ``val`` is as ``train``; each ``test-N`` asks a single N, of lengths as for it.

    Args:
        seed: Every sequence is a function of it.
        schedule: Which N a stage asks: `cumulative`, all so far; `single`, the newest; `sliding`, the newest `window`;
            `fixed`, all from the first stage on.
        first: The smallest N.
        largest: The largest N.
        add: How many N a stage adds; for `sliding`, how many it forgets too.
        window: How many N `sliding` asks.
        heads: `each` N has a head of its own, or one head is `shared` by all, and answers for the N of the stage; null:
            shared for `single`, each otherwise.
        batch_size: Sequences per batch.
        val_examples: Sequences of a stage's ``val``.
        test_examples: Sequences per test split.
        test_n: N with a split ``test-N``; null: all.
        margin: Least number of bits beyond the largest N.
        reach: How many lengths there are, as a multiple of the largest N.
        repeat: How many steps a bit lasts; N counts bits.

    Raises:
        ValueError: When `first` exceeds `largest`, a `shared` head would answer several N, or a test is of no such N.
    """

    metrics = {"accuracy": head_accuracy, "newest-accuracy": newest_accuracy}
    vocab_size: None = None
    num_features: int = 1
    readout: Literal["last"] = "last"

    def __init__(
        self,
        *,
        seed: int,
        schedule: Schedule = "cumulative",
        first: Annotated[int, Ge(2)] = 2,
        largest: Annotated[int, Ge(2)] = 20,
        add: Annotated[int, Ge(1)] = 1,
        window: Annotated[int, Ge(1)] = 10,
        heads: Literal["each", "shared"] | None = None,
        batch_size: Annotated[int, Ge(1)] = 128,
        val_examples: Annotated[int, Ge(1)] = 640,
        test_examples: Annotated[int, Ge(1)] = 1024,
        test_n: list[Annotated[int, Ge(2)]] | None = None,
        margin: Annotated[int, Ge(0)] = 2,
        reach: Annotated[int, Ge(1)] = 3,
        repeat: Annotated[int, Ge(1)] = 1,
    ) -> None:
        if first > largest:
            raise ValueError(f"first must be at most largest, got {first} and {largest}")
        if heads == "shared" and schedule != "single":
            raise ValueError(f"heads must be each: a shared head answers one N at a time, and {schedule} asks several")
        self._tested = {f"test-{n}": n for n in (range(first, largest + 1) if test_n is None else test_n)}
        if wrong := [n for n in self._tested.values() if not first <= n <= largest]:
            raise ValueError(f"test_n must be from {first} to {largest}, got {wrong[0]}")
        self.seed = seed
        self.growth = Growth(schedule, first, largest, add, window)
        self.shared = heads == "shared" or (heads is None and schedule == "single")
        self.batch_size = batch_size
        self._examples = {"val": val_examples} | dict.fromkeys(self._tested, test_examples)
        self.margin = margin
        self.reach = reach
        self.repeat = repeat

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", "val", *self._tested)

    @property
    def num_outputs(self) -> int:
        """Two for each head."""
        return 2 * (1 if self.shared else self.growth.largest - self.growth.first + 1)

    @property
    def stages(self) -> int:
        """Stages of the curriculum: in the last one, the largest N is asked."""
        return self.growth.stages

    def level(self, stage: int) -> int:
        """Returns the largest N that a stage asks."""
        return self.growth.newest(stage)

    def batches(self, split: str) -> int | None:
        return None if split == "train" else batch_count(self._examples[split], self.batch_size)

    def batch(self, split: str, i: int, stage: int = 0) -> HeadsBatch:
        if split == "train":
            return self.examples(self.growth.asked(stage), self.batch_size, generator(self.seed, 0, stage, i))
        i %= batch_count(self._examples[split], self.batch_size)
        rows = min(self.batch_size, self._examples[split] - i * self.batch_size)
        if split == "val":
            return self.examples(self.growth.asked(stage), rows, generator(self.seed, 1, stage, i))
        n = self._tested[split]
        return self.examples(range(n, n + 1), rows, generator(self.seed, 2, n, i))

    def examples(self, asked: range, rows: int, random: torch.Generator) -> HeadsBatch:
        """Returns `rows` sequences that ask the N in `asked`, all of one length."""
        newest = asked[-1]
        low = newest + self.margin
        length = int(torch.randint(low, low + self.reach * newest, (), generator=random))
        bits = self.draw(rows, length, random)
        targets = torch.full((rows, self.num_outputs // 2), IGNORED)
        for n in asked:
            targets[:, 0 if self.shared else n - self.growth.first] = self.answer(bits, n)
        return {"inputs": bits.repeat_interleave(self.repeat, 1).unsqueeze(-1).float(), "targets": targets}

    @abstractmethod
    def draw(self, rows: int, length: int, random: torch.Generator) -> Int[Tensor, "b t"]:
        """Returns random bits."""

    @abstractmethod
    def answer(self, bits: Int[Tensor, "b t"], n: int) -> Int[Tensor, "b"]:
        """Returns the class of each sequence for this N."""
