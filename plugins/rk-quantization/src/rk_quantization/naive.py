"""Slow twins, entry by entry, for tests."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence


def round_half_even(x: float) -> int:
    """Returns the nearest whole number; of two, the even one."""
    floor = math.floor(x)
    rest = x - floor
    if rest == 0.5:
        return floor + floor % 2
    return floor + (rest > 0.5)


def affine(values: Sequence[float], low: float, high: float, bits: int) -> tuple[list[int], int, float]:
    """Returns the codes, the zero point and the scale of unsigned affine quantisation over [low, high]."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / (2**bits - 1) or 1.0
    zero = min(max(round_half_even(-low / scale), 0), 2**bits - 1)
    codes = [min(max(round_half_even(v / scale) + zero, 0), 2**bits - 1) for v in values]
    return codes, zero, scale


def nearest(value: float, levels: Sequence[float]) -> float:
    """Returns the nearest level; of two, the upper one."""
    return min(levels, key=lambda level: (abs(level - value), -level))


def pack(codes: Sequence[int], bits: int) -> bytes:
    """Returns codes of `bits` bits each, one after the other, the first in the highest bits; zeros at the end."""
    text = "".join(f"{code:0{bits}b}" for code in codes)
    text += "0" * (-len(text) % 8)
    return bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))


def best_allocation(
    costs: Sequence[Mapping[int, float]], sizes: Sequence[Mapping[int, int]], budget: int
) -> tuple[float, tuple[int, ...]] | None:
    """Returns the lowest sum of costs, and its choices, of all that fit the budget; None when none fits."""
    found = None
    for choice in itertools.product(*costs):
        if sum(size[c] for size, c in zip(sizes, choice, strict=True)) <= budget:
            cost = sum(cost[c] for cost, c in zip(costs, choice, strict=True))
            if found is None or cost < found[0]:
                found = (cost, choice)
    return found


def gptq(
    row: Sequence[float], hessian: Sequence[Sequence[float]], scale: Sequence[float], low: int, high: int
) -> list[int]:
    """Returns the codes of one row of weights: rounded one by one, and those that are left move with the error.

    GPTQ (arXiv:2210.17323), Eq. 2 and 3: after weight q, w <- w - (w_q - quant(w_q)) / [H^-1]_qq H^-1_:,q, and q is
    taken out of H^-1 by one step of Gaussian elimination.

    Args:
        row: Of n weights.
        hessian: (n, n), with the damping in it.
        scale: The step between levels, for each weight.
        low: The lowest code.
        high: The highest code.
    """
    weights, n = list(row), len(row)
    inverse = _inverse(hessian)
    codes = []
    for q in range(n):
        codes.append(min(max(round_half_even(weights[q] / scale[q]), low), high))
        error = (weights[q] - codes[q] * scale[q]) / inverse[q][q]
        column = [inverse[i][q] for i in range(n)]
        weights = [w - error * h for w, h in zip(weights, column, strict=True)]
        pivot = inverse[q][q]
        inverse = [[inverse[i][j] - column[i] * column[j] / pivot for j in range(n)] for i in range(n)]
    return codes


def _inverse(matrix: Sequence[Sequence[float]]) -> list[list[float]]:
    """Returns the inverse of a positive definite matrix, by Gauss and Jordan."""
    n = len(matrix)
    rows = [[*row, *(float(i == j) for j in range(n))] for i, row in enumerate(matrix)]
    for i in range(n):
        rows[i] = [x / rows[i][i] for x in rows[i]]
        for k in range(n):
            if k != i:
                rows[k] = [x - rows[k][i] * y for x, y in zip(rows[k], rows[i], strict=True)]
    return [row[n:] for row in rows]
