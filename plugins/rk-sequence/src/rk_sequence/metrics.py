"""Metrics of answers at every step and of decoded answers; targets of -100 are ignored."""

from __future__ import annotations

import math

from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from rk.fields import IGNORED
from rk.protocols import Share


def token_accuracy(*, logits: Float[Tensor, "batch time classes"], targets: Int[Tensor, "batch time"]) -> Share:
    """Share of steps whose most likely class is the target."""
    counts = targets != IGNORED
    return ((logits.argmax(-1) == targets) & counts).sum(), counts.sum()


def sequence_accuracy(*, logits: Float[Tensor, "batch time classes"], targets: Int[Tensor, "batch time"]) -> Share:
    """Share of sequences in which every step is right."""
    return ((logits.argmax(-1) == targets) | (targets == IGNORED)).all(1).sum(), len(targets)


def class_accuracy(*, logits: Float[Tensor, "batch classes"], targets: Int[Tensor, "batch"]) -> Share:
    """Share of sequences whose most likely class is the target."""
    return (logits.argmax(-1) == targets).sum(), len(targets)


def answer_accuracy(*, decoded: Int[Tensor, "batch answer_time"], targets: Int[Tensor, "batch target_time"]) -> Share:
    """Share of decoded answers that are the target in all tokens and in length; padding of -100 counts for nothing."""
    return right_answers(decoded, targets).sum(), len(targets)


def right_answers(
    decoded: Int[Tensor, "batch answer_time"], targets: Int[Tensor, "batch target_time"]
) -> Bool[Tensor, "batch"]:
    """Returns which decoded answers are right."""
    return first_errors(decoded, targets) < 0


def first_errors(
    decoded: Int[Tensor, "batch answer_time"], targets: Int[Tensor, "batch target_time"]
) -> Int[Tensor, "batch"]:
    """Returns the place of the first wrong token of each answer, from 0; -1 where all is right."""
    width = max(decoded.shape[1], targets.shape[1])
    one, other = (F.pad(x, (0, width - x.shape[1]), value=IGNORED) for x in (decoded, targets))
    wrong = one != other
    return wrong.int().argmax(1).masked_fill(~wrong.any(1), -1)


class MacroAverage:
    """Mean over the depths of the share of examples that are right: rare depths count as much as frequent ones."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets all examples."""
        self.counts: dict[int, tuple[int, int]] = {}

    def add(self, depth: Int[Tensor, "batch"], right: Bool[Tensor, "batch"]) -> None:
        """Adds the examples of a batch."""
        for key, value in zip(depth.tolist(), right.tolist(), strict=True):
            total, count = self.counts.get(key, (0, 0))
            self.counts[key] = total + value, count + 1

    def merge(self, other: MacroAverage) -> None:
        """Adds the examples that another metric has seen."""
        for key, (right, many) in other.counts.items():
            total, count = self.counts.get(key, (0, 0))
            self.counts[key] = total + right, count + many

    def compute(self) -> float:
        """Returns the mean; NaN over nothing."""
        shares = [right / count for right, count in self.counts.values()]
        return sum(shares) / len(shares) if shares else math.nan


class MacroAccuracy(MacroAverage):
    """Mean over the depths of the share of decoded answers that are right."""

    def update(
        self,
        *,
        decoded: Int[Tensor, "batch answer_time"],
        targets: Int[Tensor, "batch target_time"],
        depth: Int[Tensor, "batch"],
    ) -> None:
        """Adds the answers of a batch."""
        self.add(depth, right_answers(decoded, targets))
