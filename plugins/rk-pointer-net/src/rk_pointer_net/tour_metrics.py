"""Metrics of `tsp`: the paper's mean length, how far that is from the targets' tours, and how many count.

A *valid* answer ended by itself after it had named every point once. The paper searches among valid tours alone, and so
has no FAIL in its table of lengths; a search without `constraint: tour` can answer anything. Here lengths are means
over valid answers, however few they are; NaN where there is none, as 0 would be the best of all.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rk_pointer_net.tours import tour_lengths


class Verdict(NamedTuple):
    """The properties of a batch of answers."""

    valid: Bool[Tensor, "batch"]
    """It ended, and named every point once."""
    length: Float[Tensor, "batch"]
    """The length of the tour; 0 if it is not valid."""
    target: Float[Tensor, "batch"]
    """The length of the targets' tour; 0 if the answer is not valid."""


@lru_cache(maxsize=1)  # the metrics of one batch ask one after the other; tensors are compared by identity
def judge(
    points: Float[Tensor, "batch n 2"], targets: Int[Tensor, "batch k"], pointers: Int[Tensor, "batch m"]
) -> Verdict:
    """Compares answers with tours; both are point numbers from 1 and end with the first number below 1."""
    points, targets, pointers = (tensor.detach().cpu() for tensor in (points, targets, pointers))
    valid = are_tours(pointers, points.shape[1])
    lengths = (torch.where(valid, tour_lengths(points, numbers.clamp(min=0)), 0.0) for numbers in (pointers, targets))
    return Verdict(valid, *lengths)


def are_tours(pointers: Int[Tensor, "batch m"], n: int) -> Bool[Tensor, "batch"]:
    """Whether answers name each of n points once and then end."""
    if pointers.shape[1] <= n:
        return torch.zeros(len(pointers), dtype=torch.bool)
    once = pointers[:, :n].sort(1).values == torch.arange(1, n + 1)
    return once.all(1) & (pointers[:, n] == 0)


def valid_rate(
    *, points: Float[Tensor, "batch n 2"], targets: Int[Tensor, "batch k"], pointers: Int[Tensor, "batch m"]
) -> tuple[Tensor, int]:
    """Share of answers that ended by themselves and name every point once."""
    valid = judge(points, targets, pointers).valid
    return valid.sum(), len(valid)


class TourLength:
    """Mean length over the valid answers, however few they are; NaN when there is none."""

    higher_is_better = False

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets all answers."""
        self.state = torch.zeros(3, dtype=torch.float64)  # sums over valid answers: length, target's length, 1

    def update(
        self, *, points: Float[Tensor, "batch n 2"], targets: Int[Tensor, "batch k"], pointers: Int[Tensor, "batch m"]
    ) -> None:
        """Adds a batch of answers."""
        verdict = judge(points, targets, pointers)
        self.state += torch.stack([verdict.length.sum(), verdict.target.sum(), verdict.valid.sum()])

    def merge(self, other: "TourLength") -> None:
        """Adds the answers that another metric has seen."""
        self.state += other.state

    def compute(self) -> float:
        """Returns the mean, or NaN."""
        length, _, valid = self.state.tolist()
        return length / valid if valid else float("nan")


class TourGap(TourLength):
    """How much longer the valid answers are than the targets' tours of the same sets, all together; 0 is as long."""

    def compute(self) -> float:
        """Returns the ratio of the mean lengths less 1, or NaN."""
        length, target, valid = self.state.tolist()
        return length / target - 1 if valid else float("nan")
