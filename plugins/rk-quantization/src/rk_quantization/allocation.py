"""Which weight gets how many bits: the exact minimum of a sum under a budget, and the whole Pareto front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LARGEST_FRONT = 50_000
"""Points of the front that are kept at most; above it, the cheapest of each interval of sizes."""


@dataclass(frozen=True)
class Point:
    """A choice that no other one is better than in both.

    Attributes:
        size: What it takes of the budget.
        cost: The sum that is minimised.
        bits: One number for each weight.
    """

    size: int
    cost: float
    bits: tuple[int, ...]


def front(costs: Sequence[Mapping[int, float]], sizes: Sequence[Mapping[int, int]]) -> list[Point]:
    """Returns all Pareto-optimal choices, by ascending size: a dynamic programme over the weights.

    HAWQ-V2, Eq. 6. A choice of the first weights that is larger and costs more than another is never part of the best
    whole, so that only the front is extended.

    Args:
        costs: Of each weight, bits -> cost, such as Omega (HAWQ-V2).
        sizes: Of each weight, bits -> size.
    """
    states: list[tuple[int, float, tuple[int, int] | None, int]] = [(0, 0.0, None, 0)]
    layers = [states]
    for cost, size in zip(costs, sizes, strict=True):
        longer = sorted(
            (at[0] + size[bits], at[1] + cost[bits], i, bits) for i, at in enumerate(layers[-1]) for bits in cost
        )
        kept: list[tuple[int, float, tuple[int, int] | None, int]] = []
        best = float("inf")
        for total, value, parent, bits in longer:
            if value < best:
                best = value
                kept.append((total, value, (parent, bits), bits))
        layers.append(_thinned(kept))
    found = []
    for end in range(len(layers[-1])):
        total, value, _, _ = layers[-1][end]
        chosen, at = [], end
        for layer in reversed(layers[1:]):
            step = layer[at][2]
            assert step is not None
            at, bits = step
            chosen.append(bits)
        found.append(Point(total, value, tuple(reversed(chosen))))
    return found


def _thinned(
    kept: list[tuple[int, float, tuple[int, int] | None, int]],
) -> list[tuple[int, float, tuple[int, int] | None, int]]:
    """Keeps the cheapest point of each interval of sizes, where there are too many points."""
    if len(kept) <= LARGEST_FRONT:
        return kept
    width = -(-(kept[-1][0] - kept[0][0] + 1) // LARGEST_FRONT)
    cheapest = {(point[0] - kept[0][0]) // width: point for point in kept}  # later ones cost less
    return [kept[0], *(point for point in cheapest.values() if point is not kept[0])]


def within(points: Sequence[Point], budget: float) -> Point | None:
    """Returns the cheapest point that fits the budget (HAWQ-V2, Eq. 6); None when none does."""
    fitting = [point for point in points if point.size <= budget]
    return fitting[-1] if fitting else None
