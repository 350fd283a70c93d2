"""Metrics of `convex-hull`: the paper's two numbers, and what they hide.

A *valid* answer ended by itself and is a simple polygon. The paper averages the covered area over valid answers alone
and prints FAIL where more than 1% are invalid. An answer's corners are input points, so it is inside the hull and no
share can exceed 1.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rk_pointer_net.hull import are_simple, areas, same_polygons, vertex_counts


class Verdict(NamedTuple):
    """The properties of a batch of answers."""

    exact: Bool[Tensor, "batch"]
    """It is the hull, whatever the start and the direction."""
    valid: Bool[Tensor, "batch"]
    """It ended, with a simple polygon."""
    share: Float[Tensor, "batch"]
    """Its area over that of the hull; 0 where it is not valid."""


@lru_cache(maxsize=1)  # the metrics of one batch ask one after the other; tensors are compared by identity
def judge(
    points: Float[Tensor, "batch n 2"], hulls: Int[Tensor, "batch k"], pointers: Int[Tensor, "batch m"]
) -> Verdict:
    """Compares answers with hulls; both are point numbers from 1 and end with the first number below 1."""
    points, hulls, pointers = (tensor.detach().cpu() for tensor in (points, hulls, pointers))
    hulls = hulls.clamp(min=0)  # END and padding alike
    ended = (pointers == 0).any(1)
    exact = ended & same_polygons(pointers, hulls)
    valid = exact & (vertex_counts(hulls) >= 3)
    doubtful = ended & ~exact
    valid[doubtful] = are_simple(points[doubtful], pointers[doubtful])
    share = torch.where(valid, areas(points, pointers) / areas(points, hulls), 0.0)
    return Verdict(exact, valid, share)


def hull_accuracy(
    *, points: Float[Tensor, "batch n 2"], targets: Int[Tensor, "batch k"], pointers: Int[Tensor, "batch m"]
) -> tuple[Tensor, int]:
    """Share of answers that are the hull: the same polygon, whatever its start and its direction."""
    exact = judge(points, targets, pointers).exact
    return exact.sum(), len(exact)


def valid_rate(
    *, points: Float[Tensor, "batch n 2"], targets: Int[Tensor, "batch k"], pointers: Int[Tensor, "batch m"]
) -> tuple[Tensor, int]:
    """Share of answers that ended by themselves and are simple polygons."""
    valid = judge(points, targets, pointers).valid
    return valid.sum(), len(valid)


class ValidArea:
    """Mean covered share of the hull's area over the valid answers, however few they are; 0 when there is none."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets all answers."""
        self.state = torch.zeros(3, dtype=torch.float64)  # sum of shares, valid answers, all answers

    def update(
        self, *, points: Float[Tensor, "batch n 2"], targets: Int[Tensor, "batch k"], pointers: Int[Tensor, "batch m"]
    ) -> None:
        """Adds a batch of answers."""
        verdict = judge(points, targets, pointers)
        self.state += torch.stack([verdict.share.sum(), verdict.valid.sum(), torch.tensor(len(verdict.valid))])

    def merge(self, other: "ValidArea") -> None:
        """Adds the answers that another metric has seen."""
        self.state += other.state

    def compute(self) -> float:
        """Returns the mean."""
        total, valid, _ = self.state.tolist()
        return total / valid if valid else 0.0


class AreaCoverage(ValidArea):
    """`ValidArea` by the paper's rule: NaN, which it prints as FAIL, when more than 1% of the answers are invalid."""

    def compute(self) -> float:
        """Returns the mean, or NaN."""
        _, valid, answers = self.state.tolist()
        return super().compute() if valid >= 0.99 * answers else float("nan")
