"""Which choices may come next: decoding that can only end in a valid tour, convex polygon or list of triangles.

A rule looks at unfinished answers and returns for every choice whether it is allowed: 0 is END, j is point j. It never
leads into a dead end, so whatever the model thinks, its answer is valid: where an answer could no longer be finished,
the choice that led there was not allowed. After the end every choice is allowed; `rk_pointer_net.decode` handles that.
"""

# b batch, k beams, t choices so far, n points, c = n + 1 choices

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Name = Literal["none", "tour", "hull", "triangulation"]

Rule = Callable[[Tensor, Tensor | None, Tensor], Tensor]
"""Points (b, n, 2), which of them exist (b, n) or None for all, and choices (b, k, t) -> allowed ones (b, k, c)."""


def tour(
    points: Float[Tensor, "b n 2"], exists: Bool[Tensor, "b n"] | None, chosen: Int[Tensor, "b k t"]
) -> Bool[Tensor, "b k c"]:
    """Point 1 first, every point once, and END when there are no more."""
    free = _unvisited(points, exists, chosen)
    if chosen.shape[2] == 0:
        free = free & (torch.arange(free.shape[2], device=free.device) == 0)
    return torch.cat([~free.any(2, keepdim=True), free], 2)


def hull(
    points: Float[Tensor, "b n 2"], exists: Bool[Tensor, "b n"] | None, chosen: Int[Tensor, "b k t"]
) -> Bool[Tensor, "b k c"]:
    """No point twice and left turns only, with those that close the polygon, so that it is convex; END from 3 on.

    Points on one line have no such polygon: there, END is all that is allowed in the end.
    """
    t = chosen.shape[2]
    free = _unvisited(points, exists, chosen)
    if t > 0:
        points = points.double()
        here = points.unsqueeze(1)  # (b, 1, n, 2): where one could go
        first, last = (_place(points, chosen[:, :, i]).unsqueeze(2) for i in (0, t - 1))
        if t == 1:  # something has to be left of the first edge
            turns = _cross((here - first).unsqueeze(3), (here - first).unsqueeze(2))
            free = free & ((turns > 0) & free.unsqueeze(2)).any(3)
        else:
            second, before = (_place(points, chosen[:, :, i]).unsqueeze(2) for i in (1, t - 2))
            free = free & (_cross(last - before, here - last) > 0)
            free = free & (_cross(here - last, first - here) > 0) & (_cross(first - here, second - first) > 0)
    end = free.new_full((*free.shape[:2], 1), t >= 3)
    return torch.cat([end, free], 2)


def triangulation(
    points: Float[Tensor, "b n 2"], exists: Bool[Tensor, "b n"] | None, chosen: Int[Tensor, "b k t"]
) -> Bool[Tensor, "b k c"]:
    """Triples of ascending numbers, none twice; END after at least one, and after the 2n - 5 that n points can have."""
    b, n, _ = points.shape
    t, k = chosen.shape[2], chosen.shape[1]
    number = torch.arange(1, n + 1, device=points.device)
    size = torch.full((b, 1, 1), n, device=points.device) if exists is None else exists.sum(1)[:, None, None]
    after = size - number  # how many numbers are above j

    # a number is used up when all triples that begin with it, as far as this one has got, have been named
    triples = chosen[:, :, : t - t % 3].reshape(b, k, t // 3, 3)
    begun = chosen[:, :, t - t % 3 :]
    same = (triples[..., : t % 3] == begun.unsqueeze(2)).all(3)  # (b, k, t // 3); all are alike in nothing
    named = same.new_zeros((b, k, n + 1), dtype=torch.long).scatter_add_(2, triples[..., t % 3], same.long())[..., 1:]
    ways = [after * (after - 1) // 2, after, torch.ones_like(after)][t % 3]
    free = (named < ways) & (after >= 2 - t % 3)
    if t % 3:
        free = free & (number > begun[..., -1:])
        end = torch.zeros_like(free[..., :1])
    else:
        full = t // 3 >= 2 * size - 5
        free = free & ~full
        end = torch.full_like(free[..., :1], t > 0)
    return torch.cat([end, free], 2)


class Constraint(NamedTuple):
    """A rule, or None, and how long answers get by it."""

    rule: Rule | None
    longest: Callable[[int], int]
    """Number of points -> most choices, END included."""


CONSTRAINTS: dict[Name, Constraint] = {
    "none": Constraint(None, lambda n: n + 1),
    "tour": Constraint(tour, lambda n: n + 1),
    "hull": Constraint(hull, lambda n: n + 1),
    "triangulation": Constraint(triangulation, lambda n: 3 * max(2 * n - 5, 0) + 1),
}


def _unvisited(
    points: Float[Tensor, "b n 2"], exists: Bool[Tensor, "b n"] | None, chosen: Int[Tensor, "b k t"]
) -> Bool[Tensor, "b k n"]:
    b, n, _ = points.shape
    visited = torch.zeros((b, chosen.shape[1], n + 1), dtype=torch.bool, device=points.device)
    free = ~visited.scatter(2, chosen, True)[..., 1:]
    return free if exists is None else free & exists.unsqueeze(1)


def _place(points: Float[Tensor, "b n 2"], numbers: Int[Tensor, "b k"]) -> Float[Tensor, "b k 2"]:
    rows = (numbers - 1).clamp(min=0).unsqueeze(-1)  # END is not a point; choices after it are not used
    return points.gather(1, rows.expand(-1, -1, points.shape[-1]))


def _cross(u: Float[Tensor, "*shape 2"], v: Float[Tensor, "*shape 2"]) -> Float[Tensor, "*shape"]:
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
