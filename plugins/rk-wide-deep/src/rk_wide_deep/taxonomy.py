"""What a classifier becomes with depth, decided by three numbers of its activation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from rk_kernels.depth import moments
from rk_kernels.duals import Dual

Rule = Literal["nearest", "singular", "majority", "linear"]
ROUNDING = 1e-9


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
    """

    shared: float
    far: float
    near: float
    rule: Rule
    alpha: float

    @property
    def dimension(self) -> int | None:
        """The d of the sphere on which the limit is consistent for every distribution; None: of none."""
        d = round(self.alpha) if math.isfinite(self.alpha) else 0
        return d if d and abs(self.alpha - d) < 1e-6 else None

    def depth(self, rows: int, dimension: int) -> float:
        """Returns about how many layers it takes with so many training inputs on S^d.

        A gap of neighbours, rows^(-2/d) / 2, grows by b until it is of order 1; then, for a singular kernel, a^L falls
        until all other inputs together do not count against the input itself. With b = 1 the distance to the limit
        falls as 1 / L, and inputs add up. Infinite for a linear activation.
        """
        if self.rule == "linear":
            return math.inf
        if self.near <= 1 + ROUNDING:
            return 100.0 * rows
        apart = math.log(2 * rows ** (2 / dimension)) / math.log(self.near)
        return apart + (math.log(1e3 * rows) / -math.log(self.far) if self.rule == "singular" else 0.0)


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
    if shared > ROUNDING:
        return Limit(shared, far, near, "majority", 0.0)
    if far < ROUNDING:
        return Limit(0.0, 0.0, near, "nearest", math.inf)
    if far > 1 - ROUNDING:
        return Limit(0.0, 1.0, 1.0, "linear", math.nan)
    return Limit(0.0, far, near, "singular", -2 * math.log(far) / math.log(near))
