"""The same kernels for one pair of inputs, as the recursions read, with sixty digits, to compare the fast ones with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal, localcontext

DIGITS = 60


def deep_entry(coefficients: Sequence[float], gap: float, depth: int) -> tuple[Decimal, Decimal]:
    """Returns S_L and T_L, the NNGP and the NTK, of the normalised activation at the cosine 1 - gap."""
    with localcontext() as context:
        context.prec = DIGITS
        squares = [Decimal(a) ** 2 for a in coefficients]
        shares = [a / sum(squares) for a in squares]
        nngp = ntk = 1 - Decimal(gap)
        for _ in range(depth):
            slope = sum((n * p * nngp ** (n - 1) for n, p in enumerate(shares) if n), Decimal(0))
            nngp = sum((p * nngp**n for n, p in enumerate(shares) if n), shares[0])
            ntk = nngp + slope * ntk
        return nngp, ntk


def hilbert_class(
    new: Sequence[float], inputs: Sequence[Sequence[float]], classes: Sequence[int], alpha: float
) -> float:
    """Returns the share of class 1 in the vote with weights 1 / distance^alpha, of inputs on the unit sphere."""
    weights = [math.dist(new, x) ** -alpha for x in inputs]
    return sum(w for w, c in zip(weights, classes, strict=True) if c) / sum(weights)
