"""Delaunay triangulations of a whole batch of point sets at once.

A triangulation is a row of point numbers from 1, three to a triangle, padded with 0, like the answers of a model.
Coordinates are compared in float64.
"""

# b batch, n points, t triangles of the largest triangulation, k columns of a row: 3 t

import math

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import Delaunay, QhullError
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

DOUBT = 1e-12
"""Angles (in radians) closer than this count as equal: about a thousand times their rounding."""

ANGLES = 2**17
"""Most angles that are looked at at once: a MiB a number."""

MOST_AT_ONCE = 16
"""Larger sets are left to Qhull, one by one: it needs n log n steps, not n^3 (as fast at 16, twice at 24)."""


def triangulations(points: Float[Tensor, "b n 2"]) -> Int[Tensor, "b k"]:
    """Returns the Delaunay triangulations by the paper's rules, as wide as the largest one needs.

    The numbers of a triangle ascend, and triangles are ordered by their incenters, by x and then by y. Of equal points
    one alone is a corner; points on a line have no triangle.

    To the left of a line from a to b, the Delaunay triangle at this edge, if it is one, has its corner where a and b
    are seen under the largest angle: the circle through all three then holds no other point on that side. Three points
    are a triangle when each is that corner for the other two. That is n^3 angles per set, and no loop over points.

    Where two angles are equal, points share a circle, and several triangulations are right; where an angle is 0 or pi,
    they share a line. Rounding could then answer for one edge so and for the next one otherwise, which leaves holes:
    these sets are left to Qhull, which makes one choice for all edges.
    """
    b, n, _ = points.shape
    points = points.double()
    if n <= MOST_AT_ONCE:
        parts = [_corners_seen(part) for part in points.split(max(1, ANGLES // n**3))]
        corner, doubtful = (torch.cat(part) for part in zip(*parts, strict=True))
        found = _mutual(corner)
    else:
        found, doubtful = points.new_zeros((b, 0), dtype=torch.long), torch.ones(b, dtype=torch.bool)
    if doubtful.any():
        others = _by_qhull(points[doubtful])
        width = max(found.shape[1], others.shape[1])
        found = F.pad(found, (0, width - found.shape[1]))
        found[doubtful] = F.pad(others, (0, width - others.shape[1]))
    return _by_incenter(points, found)


def _corners_seen(points: Float[Tensor, "b n 2"]) -> tuple[Int[Tensor, "b n n"], Bool[Tensor, "b"]]:
    """Returns the corner (from 0) to the left of every a -> b, -1 where there is none, and which sets leave doubts."""
    n = points.shape[1]
    x, y = (points.unsqueeze(1) - points.unsqueeze(2)).unbind(-1)  # [:, c, a]: from c to a
    cross = x.unsqueeze(3) * y.unsqueeze(2) - y.unsqueeze(3) * x.unsqueeze(2)  # [:, c, a, b]: c sees a, then b
    dot = x.unsqueeze(3) * x.unsqueeze(2) + y.unsqueeze(3) * y.unsqueeze(2)
    number = torch.arange(n, device=points.device)
    apart = number.unsqueeze(1) != number
    distinct = apart.unsqueeze(2) & apart.unsqueeze(1) & apart
    flat = ((cross.abs() <= 2 * DOUBT * dot.abs()) & distinct).flatten(1).any(1)  # 2: all that `_turns` calls a line

    wide = torch.where(cross > 0, -dot / cross, -math.inf)  # minus the cotangent: it grows with the angle
    widest, corner = wide.max(1)
    rival = wide.scatter_(1, corner.unsqueeze(1), -math.inf).amax(1)
    tied = (widest - rival <= DOUBT * (1 + widest**2)).flatten(1).any(1)  # the cotangent's slope is 1 + cot^2
    return corner.masked_fill_(widest == -math.inf, -1), flat | tied


def _mutual(corner: Int[Tensor, "b n n"]) -> Int[Tensor, "b k"]:
    """Returns the triangles in which each point is the corner that the other two have, in any order."""
    b, n, _ = corner.shape
    number = torch.arange(n, device=corner.device)
    first, second = number.unsqueeze(1), number
    edges = corner.flatten(1)
    third = corner.clamp(min=0)
    is_first = edges.gather(1, (n * second + third).flatten(1)).view_as(corner) == first
    is_second = edges.gather(1, (n * third + first).flatten(1)).view_as(corner) == second
    told = is_first & is_second & (first < second) & (first < corner)  # once, of the edge from the lowest number
    rows, first, second = told.nonzero().unbind(1)
    third = corner[rows, first, second]
    triangles = torch.stack([first, torch.minimum(second, third), torch.maximum(second, third)], 1) + 1
    counts = told.flatten(1).sum(1)
    place = torch.arange(len(rows), device=corner.device) - (counts.cumsum(0) - counts)[rows]
    found = triangles.new_zeros((b, int(counts.max()) if b else 0, 3))
    found[rows, place] = triangles
    return found.flatten(1)


def _by_qhull(points: Float[Tensor, "b n 2"]) -> Int[Tensor, "b k"]:
    """Returns Qhull's triangles but those that rounding alone gives an area, along an edge of the hull."""
    found = [torch.from_numpy(_qhull(one)) for one in points.cpu().numpy()]
    triangles = pad_sequence(found, batch_first=True).to(points.device, torch.long).sort(2).values.flatten(1)
    flat = _turns_at(points, triangles) == 0  # padding too
    triangles = triangles.masked_fill_(flat.repeat_interleave(3, 1), 0)
    order = flat.long().argsort(stable=True)  # padding last
    return _reordered(triangles, order)[:, : 3 * int((~flat).sum(1).max())]


def _qhull(points: np.ndarray) -> np.ndarray:
    try:
        return Delaunay(points).simplices + 1
    except QhullError:  # all points on a line
        return np.zeros((0, 3), dtype=np.int32)


def _by_incenter(points: Float[Tensor, "b n 2"], triangles: Int[Tensor, "b k"]) -> Int[Tensor, "b k"]:
    x, y = incenters(points, triangles).nan_to_num(math.inf).unbind(-1)
    order = y.argsort(stable=True)
    order = order.gather(1, x.gather(1, order).argsort(stable=True))
    return _reordered(triangles, order)


def _reordered(triangles: Int[Tensor, "b k"], order: Int[Tensor, "b t"]) -> Int[Tensor, "b k"]:
    return triangles.unflatten(1, (-1, 3)).gather(1, order.unsqueeze(-1).expand(-1, -1, 3)).flatten(1)


def incenters(points: Float[Tensor, "b n 2"], triangles: Int[Tensor, "b k"]) -> Float[Tensor, "b t 2"]:
    """Returns the middles of the inscribed circles, in float64; NaN for padding."""
    corners = _corners(points, triangles)
    sides = (corners.roll(-1, 2) - corners.roll(1, 2)).norm(dim=-1, keepdim=True)  # the one across each corner
    middles = (sides * corners).sum(2) / sides.sum(2)
    return middles.masked_fill((triangles[:, ::3] == 0).unsqueeze(-1), math.nan)


def shuffled(triangles: Int[Tensor, "b k"], random: torch.Generator) -> Int[Tensor, "b k"]:
    """Returns the same triangles in a random order, the numbers of each in a random order too; padding stays behind."""
    padding = triangles[:, ::3] == 0
    order = torch.rand(padding.shape, generator=random).masked_fill_(padding, 1.0).argsort(stable=True)
    inside = torch.rand(*padding.shape, 3, generator=random).argsort()
    return _reordered(triangles, order).unflatten(1, (-1, 3)).gather(2, inside).flatten(1)


def are_triangulations(points: Float[Tensor, "b n 2"], triangles: Int[Tensor, "b k"]) -> Bool[Tensor, "b"]:
    """Whether triangles have an area, cover the convex hull once and use every point; they need not be Delaunay's.

    Counter-clockwise triangles cover everything once when each edge is met by a triangle on both its sides, once on
    each, except edges with no point beyond them. A point that is equal to another need not be used.
    """
    b, n, _ = points.shape
    points = points.double()
    turn = _turns_at(points, triangles)
    real = triangles[:, ::3] != 0
    sound = ((turn != 0) | ~real).all(1) & real.any(1)
    turned = triangles.unflatten(1, (-1, 3))
    turned = torch.where((turn < 0).unsqueeze(-1), turned.flip(2), turned)
    edges = (turned * (n + 1) + turned.roll(-1, 2)).flatten(1)
    count = triangles.new_zeros((b, (n + 1) ** 2)).scatter_add_(1, edges, torch.ones_like(edges))
    count = count.unflatten(1, (n + 1, n + 1))[:, 1:, 1:]  # [:, a, b]: triangles to the left of a -> b; padding is 0

    rows, start, end = ((count > 0) & (count.mT == 0)).nonzero().unbind(1)
    side = _turns(points[rows, start].unsqueeze(1), points[rows, end].unsqueeze(1), points[rows], doubt=10 * DOUBT)
    sound[rows[(side < 0).any(1)]] = False  # clearly beyond: flat triangles left out along the hull may add up
    equal = (points.unsqueeze(1) == points.unsqueeze(2)).all(-1)
    used = (equal & (count > 0).any(2).unsqueeze(1)).any(2)
    return sound & (count <= 1).flatten(1).all(1) & used.all(1)


def _corners(points: Float[Tensor, "b n 2"], triangles: Int[Tensor, "b k"]) -> Float[Tensor, "b t 3 2"]:
    """Returns the corners' coordinates in float64; those of padding are the first point's."""
    rows = (triangles - 1).clamp_(min=0).unsqueeze(-1).expand(-1, -1, 2)
    return points.double().gather(1, rows).unflatten(1, (-1, 3))


def _turns_at(points: Float[Tensor, "b n 2"], triangles: Int[Tensor, "b k"]) -> Tensor:
    """Returns how each triangle turns, as `_turns` says it."""
    a, b, c = _corners(points, triangles).unbind(2)
    return _turns(a, b, c)


def _turns(
    a: Float[Tensor, "*shape 2"], b: Float[Tensor, "*shape 2"], c: Float[Tensor, "*shape 2"], doubt: float = DOUBT
) -> Tensor:
    """Returns 1 where c is to the left of a -> b, -1 where it is to the right and 0 where the three are on a line."""
    u, v = b - a, c - a
    cross = u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
    longest = torch.stack(torch.broadcast_tensors(u.square().sum(-1), v.square().sum(-1), (u - v).square().sum(-1)))
    return cross.sign() * (cross.abs() > doubt * longest.amax(0))  # the same for all orders of a, b and c
