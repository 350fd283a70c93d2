"""The methods again, one weight at a time: what the fast ones are tested against."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def highest(scores: list[float], k: int) -> list[bool]:
    """Returns True at the `k` highest scores; of equal ones, the first."""
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    return [i in set(order[:k]) for i in range(len(scores))]


def replace(kept: Tensor, weight: Tensor, growth: Tensor, share: float) -> Tensor:
    """Drops the weakest kept weights, then grows the strongest of all that are not kept; see `growth.replace`."""
    flat, w, g = kept.flatten().tolist(), weight.flatten().tolist(), growth.flatten().tolist()
    active = [i for i, one in enumerate(flat) if one]
    number = min(int(share * len(active)), len(flat) - len(active))
    strongest = sorted(active, key=lambda i: (-abs(w[i]), i))[: len(active) - number]
    free = sorted((i for i in range(len(flat)) if i not in strongest), key=lambda i: (-g[i], i))
    chosen = {*strongest, *free[:number]}
    return torch.tensor([i in chosen for i in range(len(flat))]).view_as(kept)


def n_of_m(scores: Tensor, n: int, m: int) -> Tensor:
    """Keeps the `n` highest of every `m` entries of each row of a matrix; see `groups.keep_n_of_m`."""
    kept = torch.zeros_like(scores, dtype=torch.bool)
    for row in range(scores.shape[0]):
        for start in range(0, scores.shape[1], m):
            group = scores[row, start : start + m].tolist()
            for i in sorted(range(m), key=lambda i: (-group[i], i))[:n]:
                kept[row, start + i] = True
    return kept


def erk(shapes: Mapping[str, tuple[int, ...]], density: float) -> dict[str, float]:
    """Searches the factor of ERK by bisection: ``min(1, factor * sum / product)``; see `densities.erk`."""
    sizes = {n: int(torch.tensor(s).prod()) for n, s in shapes.items()}
    low, high = 0.0, 1e12
    for _ in range(500):
        factor = (low + high) / 2
        kept = sum(min(1.0, factor * sum(s) / sizes[n]) * sizes[n] for n, s in shapes.items())
        low, high = (factor, high) if kept < density * sum(sizes.values()) else (low, factor)
    return {n: min(1.0, high * sum(s) / sizes[n]) for n, s in shapes.items()}
