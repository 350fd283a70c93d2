"""Shortest tours of a whole batch of point sets at once: exact ones, and those of the paper's approximate teachers.

A tour is a row of point numbers from 1 that names every point once. It starts at point 1, and of its two directions it
has the one whose second number is below its last, so that every tour is written in one way alone.
"""

# b batch, n points, m = n - 1 points that are not the start, l subsets of one size s

from functools import lru_cache
from itertools import combinations, pairwise
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rk_pointer_net.teachers import a1, a2, a3

Solver = Literal["exact", "a1", "a2", "a3"]

MOST_EXACT = 13
"""Largest set that is solved exactly: each further point takes 2.3 times as long."""

VERSION = 1
"""Raised whenever `solve` returns other tours than before: stored ones are then solved again."""

PAIRS = 2**17
"""Most pairs of points that are looked at at once: 1 MiB a number."""

SUMS = 2**18
"""Most sums of Held and Karp's that are held at once: 2 MiB."""


def solve(points: Float[Tensor, "b n 2"], solver: Solver) -> Int[Tensor, "b n"]:
    """Returns a tour of every set.

    Args:
        points: At least 3 a set.
        solver: `exact`, for at most `MOST_EXACT` points; or one of `rk_pointer_net.teachers`.
    """
    teacher = {"exact": held_karp, "a1": a1, "a2": a2, "a3": a3}[solver]
    rows = max(1, PAIRS // points.shape[1] ** 2)
    return torch.cat([written(teacher(distances(part))) for part in points.split(rows)])


def best_solver(n: int) -> Solver:
    """Returns the solver with the shortest tours that n points can have in reasonable time."""
    return "exact" if n <= MOST_EXACT else "a3"


def distances(points: Float[Tensor, "b n 2"]) -> Float[Tensor, "b n n"]:
    """Returns the distances between all points of a set, in float64."""
    points = points.double()
    return (points.unsqueeze(2) - points.unsqueeze(1)).square_().sum(-1).sqrt_()


def tour_lengths(points: Float[Tensor, "b n 2"], tours: Int[Tensor, "b k"]) -> Float[Tensor, "b"]:
    """Returns how long the tours are, with the way back to their start, in float64; they end with the first 0."""
    real = (tours != 0).long().cumprod(1).bool()
    rows = (torch.where(real, tours, tours[:, :1]) - 1).clamp_(min=0)  # padding stays at the start: no way at all
    stops = points.double().gather(1, rows.unsqueeze(-1).expand(-1, -1, points.shape[-1]))
    return (stops - stops.roll(-1, 1)).square_().sum(-1).sqrt_().sum(1)


def written(orders: Int[Tensor, "b n"]) -> Int[Tensor, "b n"]:
    """Returns tours over points from 0, with any start and direction, as this module writes them."""
    n = orders.shape[1]
    place = torch.arange(n, device=orders.device)
    onward = orders.gather(1, (orders.argmin(1, keepdim=True) + place) % n) + 1
    return torch.where(onward[:, 1:2] < onward[:, -1:], onward, onward[:, -place % n])


def held_karp(d: Float[Tensor, "b n n"]) -> Int[Tensor, "b n"]:
    """Returns shortest tours over points from 0: the dynamic programme of Held and Karp (1962).

    For every subset of the points but the first, and every point of it to end at, the shortest way from the first point
    through the subset follows from the subsets with one point less. So all subsets of a size are a few sums over all of
    them at once, with the sets of the batch side by side in memory.

    Args:
        d: Distances, symmetrical.
    """
    layers = _layers(d.shape[1] - 1)
    rows = max(1, SUMS // max(layer.members.numel() for layer in layers))
    return torch.cat([_held_karp(part, layers) for part in d.split(rows)])


class Layer(NamedTuple):
    """All subsets of one size, with their members as numbers below m, ascending."""

    members: Int[Tensor, "l s"]
    without: Int[Tensor, "l s"]
    """Which subset of the layer below is left when a member is taken out."""
    pairs: Int[Tensor, "l s s-1"]
    """The place of the distance from every other member to this one, in a flat (m, m) table."""


@lru_cache(maxsize=32)
def _layers(m: int) -> list[Layer]:
    subsets = [torch.tensor(list(combinations(range(m), s))) for s in range(1, m + 1)]
    ranks = torch.zeros(2**m, dtype=torch.long)  # of the subset with these bits, among those of its size
    for members in subsets:
        ranks[(1 << members).sum(1)] = torch.arange(len(members))
    layers = [Layer(subsets[0], torch.zeros(m, 1, dtype=torch.long), torch.zeros(m, 1, 0, dtype=torch.long))]
    for below, members in pairwise(subsets):
        bits = 1 << members
        without = ranks[bits.sum(1, keepdim=True) - bits]
        layers.append(Layer(members, without, below[without] * m + members.unsqueeze(2)))
    return layers


def _held_karp(d: Float[Tensor, "b n n"], layers: list[Layer]) -> Int[Tensor, "b n"]:
    flat = d[:, 1:, 1:].flatten(1).T.contiguous()
    back = d[:, 0, 1:].T.contiguous()
    ways = [back.unsqueeze(1)]  # (l, s, b) by size: the shortest way through a subset to each of its members
    for layer in layers[1:]:
        ways.append(_longer(ways[-1], flat, layer))

    # which point came before the end is asked for one subset a size and set, so it is cheaper found again than kept
    end = (ways[-1][0] + back).argmin(0)
    subset, sets = torch.zeros_like(end), torch.arange(d.shape[0])
    order = [torch.full_like(end, -1)]
    for layer, shorter in zip(layers[:0:-1], ways[-2::-1], strict=True):
        order.append(layer.members[subset, end])
        pairs, subset = layer.pairs[subset, end], layer.without[subset, end]
        end = (shorter[subset, :, sets] + flat[pairs, sets.unsqueeze(1)]).argmin(1)
    order.append(layers[0].members[subset, end])
    return torch.stack(order, 1) + 1


def _longer(ways: Float[Tensor, "k s-1 b"], flat: Float[Tensor, "m*m b"], layer: Layer) -> Float[Tensor, "l s b"]:
    """Returns the shortest ways with one point more: the least of s - 1 sums, one after the other, in little memory."""
    size = layer.members.shape[1]
    ways = ways.flatten(0, 1)
    shortest: Tensor | None = None
    for last in range(size - 1):
        longer = ways.index_select(0, (layer.without * (size - 1) + last).flatten())
        longer += flat.index_select(0, layer.pairs[..., last].flatten())
        shortest = longer if shortest is None else torch.minimum(shortest, longer, out=shortest)
    assert shortest is not None  # a way has two points at least
    return shortest.view(*layer.members.shape, -1)
