"""What a classifier becomes with depth, decided by three numbers of its activation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from rk_kernels.covariance import Kind
from rk_kernels.depth import moments
from rk_kernels.duals import Dual

Rule = Literal["nearest", "singular", "majority", "linear"]
ROUNDING = 1e-9
RIDGE = 1e-6
"""Of kernels with a constant term: without it, the matrices of those with b < 1 are singular to rounding."""
SETTLED = 1e-3
"""What is left of the other inputs' weight, or of differences between weights, when a depth counts as enough."""


@dataclass(frozen=True)
class Limit:
    """The limit of infinite depth.

    Attributes:
        shared: A, the normalised dual at 0.
        far: a, its slope at 0.
        near: b, its slope at 1.
        rule: nearest: the class of the nearest training input. singular: weights R / distance^alpha. majority: the most
            frequent class. linear: no limit, the kernel stays the cosine.
        alpha: Of a singular kernel; infinite for the nearest neighbour, 0 for the majority.
        rate: What a layer multiplies the distance to the limit by, once near inputs have parted.
    """

    shared: float
    far: float
    near: float
    rule: Rule
    alpha: float
    rate: float

    @property
    def dimension(self) -> int | None:
        """The d of the sphere on which the limit is consistent for every distribution; None: of none."""
        d = round(self.alpha) if math.isfinite(self.alpha) else 0
        return d if d and abs(self.alpha - d) < 1e-6 else None

    def depth(self, rows: int, dimension: int, kind: Kind = "nngp") -> float:
        """Returns about how many layers it takes with so many training inputs on S^d: an estimate of ours.

        The gap of neighbours, rows^(-2/d) / 2, grows by b until it is of order 1; from there, `rate` takes all others
        to a thousandth of what counts. The NTK of a singular kernel needs more: up to a factor it is L G + G' b /
        (b - 1), where G' / G grows as 1 / gap. With b = 1 the distance to the limit falls as 1 / L and inputs add up:
        500 layers for each. With b < 1 the matrix goes to a constant, and a ridge of 1e-6 decides. Infinite for a
        linear activation.
        """
        if self.rule == "linear":
            return math.inf
        if abs(self.near - 1) < ROUNDING:
            return 500.0 * rows
        apart = max(0.0, math.log(2 * rows ** (2 / dimension)) / math.log(self.near))
        if self.rule == "nearest":  # logarithms of weights double; those of neighbours differ by a thousandth
            return apart + math.log2(math.log(rows / SETTLED) / SETTLED)
        if self.rule == "singular" and kind == "ntk":
            return max(apart, 20 * rows ** (2 / dimension))
        left = SETTLED / rows * (RIDGE if self.near < 1 else 1.0)
        return apart + math.log(left) / math.log(self.rate)


def limit_of(dual: Dual) -> Limit:
    """Returns what depth makes of classifiers with this activation.

    A > 0: the majority (where b < 1 too, with any ridge: without one, the matrix is singular). A = 0 and a = 0: the
    nearest neighbour. A = 0 and 0 < a < 1: a singular kernel with alpha = -2 log a / log b.

    Examples:
        >>> from rk_kernels.series import Hermite
        >>> limit_of(Hermite([0.0, 0.5**0.5, 0.0, 0.5**0.5])).dimension
        2
    """
    shared, far, near = moments(dual)
    if shared > 0:
        return Limit(shared, far, near, "majority", 0.0, near if near <= 1 + ROUNDING else _pull(dual))
    if far == 0:
        return Limit(0.0, 0.0, near, "nearest", math.inf, 0.0)
    if far > 1 - ROUNDING:
        return Limit(0.0, 1.0, 1.0, "linear", math.nan, 1.0)
    return Limit(0.0, far, near, "singular", -2 * math.log(far) / math.log(near), far)


def _pull(dual: Dual) -> float:
    """Returns the slope at the fixed point c < 1 that all cosines go to."""
    one = torch.ones((), dtype=torch.float64)
    gain = dual.diagonal(one)[0]
    before, fixed = one, torch.zeros_like(one)
    while float((fixed - before).abs()) > 1e-12:
        before, fixed = fixed, dual.pair(one, fixed, one)[0] / gain
    return float(dual.pair(one, fixed, one)[1] / gain)
