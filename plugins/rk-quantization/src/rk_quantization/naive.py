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
