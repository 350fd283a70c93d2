"""Rank correlation."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """Returns the rank correlation of two lists (Spearman, 1904), of which equal numbers share their mean rank.

    Args:
        one: Numbers.
        other: As many.

    Returns:
        From -1 to 1; 0 where all numbers of a list are equal.
    """
    ranks = _ranks(one), _ranks(other)
    if any(len(set(values)) < 2 for values in ranks):
        return 0.0
    return statistics.correlation(*ranks)


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(values)
    places: dict[float, list[int]] = {}
    for place, value in enumerate(order):
        places.setdefault(value, []).append(place)
    return [statistics.fmean(places[value]) for value in values]
