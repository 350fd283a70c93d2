"""Metrics of vectors of bits: exact or bit by bit, and how an ensemble compares with its limit."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from jaxtyping import Bool, Float
from torch import Tensor

from rk import UserError
from rk.protocols import Share
from rk_permutation_ntk.theory import Parametrization, limit

TOLERANCE = 1e-4
"""What counts as zero: answers to training vectors, whose zeros are exact in the limit, have rounding errors."""


def bits_of(values: Float[Tensor, "batch bits"], threshold: float = 0.0) -> Bool[Tensor, "batch bits"]:
    """Returns which outputs are ones, those above zero: arXiv:2502.16763.

    Args:
        values: Outputs.
        threshold: What an output must exceed, by more than 1e-4.
    """
    return values > threshold + TOLERANCE


class ExactBits:
    """The share of vectors whose bits are all right.

    Args:
        threshold: What an output must exceed to be a one. The method's is 0; 0.5 is what rounding would take.

    Examples:
        metrics: {rounded: {name: exact-bits, threshold: 0.5}}
    """

    def __init__(self, threshold: float = 0.0) -> None:
        self.threshold = threshold

    def __call__(self, *, values: Float[Tensor, "batch bits"], targets: Float[Tensor, "batch bits"]) -> Share:
        right = bits_of(values, self.threshold) == (targets > 0)
        return right.all(1).sum(), len(right)


class EnsembleMatch:
    """The share of vectors whose bits are all right in the mean over so many members, over all disjoint groups of them.

    Args:
        members: Members of a group; what remains of the ensemble is left out.
        threshold: What an output must exceed to be a one.

    Examples:
        metrics: {single: {name: ensemble-match, members: 1}, match-64: {name: ensemble-match, members: 64}}
    """

    def __init__(self, members: Annotated[int, Ge(1)], threshold: float = 0.0) -> None:
        self.members = members
        self.threshold = threshold

    def __call__(
        self, *, targets: Float[Tensor, "batch bits"], member_values: Float[Tensor, "batch members bits"] | None = None
    ) -> Share:
        member_values = _of_members(member_values, "ensemble-match")
        ensemble = member_values.shape[1]
        groups = ensemble // self.members
        if not groups:
            raise UserError(f"ensemble-match: members must be <= {ensemble}, those of the ensemble, got {self.members}")
        whole = member_values[:, : groups * self.members].unflatten(1, (groups, self.members)).mean(2)
        right = (bits_of(whole, self.threshold) == (targets > 0).unsqueeze(1)).all(2)
        return right.sum(), right.numel()


class BitAccuracy:
    """The share of bits that are right.

    Args:
        threshold: What an output must exceed to be a one.

    Examples:
        metrics: {bits: bit-accuracy}
    """

    def __init__(self, threshold: float = 0.0) -> None:
        self.threshold = threshold

    def __call__(self, *, values: Float[Tensor, "batch bits"], targets: Float[Tensor, "batch bits"]) -> Share:
        right = bits_of(values, self.threshold) == (targets > 0)
        return right.sum(), right.numel()


class LimitAgreement:
    """How the members of an ensemble compare with the limit of infinite width, on vectors with so many ones.

    ``mean-1`` and ``mean-0`` are the mean outputs where the target is a one or a zero; ``error-1`` and ``error-0``
    their distance from the limit in standard errors, where each member counts as one observation; ``std`` is the
    deviation over members and ``std-ratio`` that over the limit's.

    Args:
        statistic: Which.
        ones: Vectors with other numbers of ones are passed over.
        parametrization: As of the members, `ntk-mlp`.

    Examples:
        metrics: {error-1: {name: limit-agreement, statistic: error-1, ones: 2}}
    """

    higher_is_better = False

    def __init__(
        self,
        statistic: Literal["mean-1", "mean-0", "error-1", "error-0", "std", "std-ratio"] = "error-1",
        ones: Annotated[int, Ge(2)] = 2,
        parametrization: Parametrization = "ntk",
    ) -> None:
        self.statistic = statistic
        self.ones = ones
        self.parametrization = parametrization
        self.reset()

    def reset(self) -> None:
        """Forgets all vectors."""
        self.bits = 0
        self.sums: Tensor | None = None
        self.counts = torch.zeros(2, 1, dtype=torch.float64)
        self.variance, self.outputs = 0.0, 0

    def update(
        self,
        *,
        inputs: Float[Tensor, "batch features"],
        targets: Float[Tensor, "batch bits"],
        member_values: Float[Tensor, "batch members bits"] | None = None,
    ) -> None:
        """Adds a batch."""
        member_values = _of_members(member_values, "limit-agreement")
        chosen = (inputs > 0).sum(1) == self.ones
        values, one = member_values[chosen].double().cpu(), (targets[chosen] > 0).cpu()
        self.bits = targets.shape[1]
        marks = torch.stack([~one, one]).double()
        sums = torch.einsum("tvb,vmb->tm", marks, values)  # by target and member
        self.sums = sums if self.sums is None else self.sums + sums
        self.counts = self.counts + marks.sum((1, 2)).unsqueeze(1)
        if len(values) and values.shape[1] > 1:
            self.variance += float(values.var(1).sum())
        self.outputs += one.numel()

    def merge(self, other: LimitAgreement) -> None:
        """Adds the vectors that another metric has seen."""
        if other.sums is None:
            return
        self.bits = other.bits
        self.sums = other.sums if self.sums is None else self.sums + other.sums
        self.counts = self.counts + other.counts
        self.variance, self.outputs = self.variance + other.variance, self.outputs + other.outputs

    def compute(self) -> float:
        """Returns the number; NaN when there was no such vector, or no deviation among the members."""
        if self.sums is None or not self.outputs:
            return math.nan
        theory = limit(self.bits, self.ones, self.parametrization)
        if self.statistic in ("std", "std-ratio"):
            found = math.sqrt(self.variance / self.outputs)
            return found if self.statistic == "std" else found / math.sqrt(theory.variance)
        target = int(self.statistic[-1])
        members = self.sums[target] / self.counts[target]
        if self.statistic.startswith("mean"):
            return float(members.mean())
        expected = theory.mean_1 if target else theory.mean_0
        return float((members.mean() - expected).abs() / (members.std() / math.sqrt(len(members))))


def _of_members(member_values: Tensor | None, metric: str) -> Tensor:
    if member_values is None:  # wrapped models do not declare what they add, so that this is not found before
        raise UserError(f"{metric}: the model does not answer with those of members", "take the model ensemble")
    return member_values
