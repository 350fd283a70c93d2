"""How many weights each layer keeps: uniform, or Erdős–Rényi-kernel (ERK)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

Distribution = Literal["global", "uniform", "erk"]
"""Where the kept weights are: wherever the score is highest, the same share of each layer, or by ERK."""


def counts(
    shapes: Mapping[str, tuple[int, ...]], density: float, distribution: Literal["uniform", "erk"]
) -> dict[str, int]:
    """Returns how many weights of each layer are kept; together exactly ``round(density * all)``.

    Args:
        shapes: Name -> shape of the weight.
        density: Share of all weights that is kept.
        distribution: ``uniform`` or ``erk``.
    """
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    shares = erk(shapes, density) if distribution == "erk" else dict.fromkeys(shapes, density)
    return _whole({name: shares[name] * sizes[name] for name in shapes}, sizes, round(density * sum(sizes.values())))


def erk(shapes: Mapping[str, tuple[int, ...]], density: float) -> dict[str, float]:
    """Returns the density of each layer: proportional to the sum of its dimensions over their product.

    Layers for which that would be above 1 are dense, and the others share what is left (RigL, arXiv:1911.11134,
    Sec. 3; for convolutions the dimensions of the kernel count too).

    Args:
        shapes: Name -> shape of the weight.
        density: Share of all weights that is kept.
    """
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    raw = {name: sum(shape) / sizes[name] for name, shape in shapes.items()}
    dense: set[str] = set()
    while True:
        free = [name for name in shapes if name not in dense]
        if not free:
            return dict.fromkeys(shapes, 1.0)
        left = density * sum(sizes.values()) - sum(sizes[name] for name in dense)
        factor = left / sum(raw[name] * sizes[name] for name in free)
        above = [name for name in free if factor * raw[name] > 1]
        if not above:
            return {name: 1.0 if name in dense else factor * raw[name] for name in shapes}
        most = max(raw[name] for name in above)
        dense |= {name for name in above if raw[name] == most}


def _whole(wanted: Mapping[str, float], sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """Rounds so that the sum is `total`: the largest remainders are rounded up."""
    found = {name: min(sizes[name], math.floor(number + 1e-9)) for name, number in wanted.items()}
    order = sorted(wanted, key=lambda name: found[name] - wanted[name])
    while (lacking := total - sum(found.values())) > 0:
        room = [name for name in order if found[name] < sizes[name]][:lacking]
        for name in room:
            found[name] += 1
    return found
