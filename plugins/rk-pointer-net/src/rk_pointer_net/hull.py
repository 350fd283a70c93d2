"""Convex hulls and polygons of a whole batch of point sets at once.

Polygons are rows of point numbers from 1, padded with 0, like the answers of a model. Coordinates are compared in
float64, which is exact for points on multiples of 2**-24 such as torch's uniform float32 numbers: slopes between them
that differ do so by more than their rounding, and cross products are not rounded at all.
"""

# b batch, n points, k columns of a polygon: the vertices of the longest one, then zeros

import math
import sys

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

STEEP = sys.float_info.max
"""The slope from a point to one right above it: steeper than all others, and below the infinity of "no slope"."""

PAIRS = 2**16
"""Most pairs of points that are looked at at once: half a MiB a number (twice as fast as all of 128 sets of 50)."""


def convex_hulls(points: Float[Tensor, "b n 2"]) -> Int[Tensor, "b k"]:
    """Returns the hulls counter-clockwise from the vertex with the lowest number; every row ends with a 0.

    Turns are strict: a point on an edge is not a vertex, and of equal points only the first may be one. What has no
    area
    gets its extreme points: two of a line, one of a single place.

    Sorted by x, a point is on the lower hull when all slopes to its left are below all slopes to its right, and on the
    upper hull when all are above. That is n^2 slopes per set, and no loop over points.

    Examples:
        >>> convex_hulls(torch.tensor([[[0.0, 0.0], [0.5, 0.4], [1.0, 0.0], [0.5, 1.0]]]))  # point 2 is inside
        tensor([[1, 3, 4, 0]])
    """
    n = points.shape[1]
    x, y = (points.double() + 0.0).unbind(-1)  # + 0.0: the sign of -0.0 would turn a slope around
    y, order = y.sort(stable=True)
    x, by_x = x.gather(1, order).sort(stable=True)  # by x, then y, then number
    y, order = y.gather(1, by_x), order.gather(1, by_x)

    rows = max(1, PAIRS // n**2)
    sides = [_on_lower_and_upper(*part) for part in zip(x.split(rows), y.split(rows), strict=True)]
    lower, upper = sides[0] if len(sides) == 1 else (torch.cat(part) for part in zip(*sides, strict=True))

    rank = torch.arange(n, device=x.device)  # counter-clockwise: lower hull to the right, then upper hull to the left
    turn = torch.where(lower, rank, torch.where(upper, 2 * n - rank, 3 * n))
    numbers = order.gather(1, turn.argsort()) + 1
    counts = (lower | upper).sum(1)
    hulls = F.pad(numbers.masked_fill_(rank >= counts.unsqueeze(1), 0), (0, 1))
    return _from_lowest(hulls[:, : int(counts.max()) + 1], counts)


def _on_lower_and_upper(x: Float[Tensor, "b n"], y: Float[Tensor, "b n"]) -> tuple[Tensor, Tensor]:
    """Returns which of the sorted points are vertices of the lower hull, and which others are of the upper hull."""
    n = x.shape[1]
    slopes = (y.unsqueeze(1) - y.unsqueeze(2)).div_(x.unsqueeze(1) - x.unsqueeze(2))  # NaN between equal points
    slopes += torch.full((n, n), torch.nan, dtype=x.dtype, device=x.device).tril_()  # and but from left to right
    up, down = slopes.nan_to_num(-math.inf, posinf=STEEP), slopes.nan_to_num_(math.inf, posinf=STEEP)
    distinct = F.pad((x.diff() != 0) | (y.diff() != 0), (1, 0), value=True)
    lower = (up.amax(1) < down.amin(2)) & distinct
    upper = (down.amin(1) > up.amax(2)) & distinct & ~lower
    return lower, upper


def vertex_counts(polygons: Int[Tensor, "b k"]) -> Int[Tensor, "b"]:
    """Returns how many vertices come before the first 0."""
    return (polygons != 0).long().cumprod(1).sum(1)


def same_polygons(first: Int[Tensor, "b k"], second: Int[Tensor, "b l"]) -> Bool[Tensor, "b"]:
    """Whether polygons have the same vertices in the same cyclic order, whatever the start and the direction."""
    counts, others = vertex_counts(first), vertex_counts(second)
    width = max(first.shape[1], second.shape[1])
    first = _from_lowest(F.pad(first, (0, width - first.shape[1])), counts)
    second = _from_lowest(F.pad(second, (0, width - second.shape[1])), others)
    place = torch.arange(width, device=first.device)
    back = -place % others.clamp(min=1).unsqueeze(1)
    reversed_ = second.gather(1, back).masked_fill_(place >= others.unsqueeze(1), 0)
    return (first == second).all(1) | (first == reversed_).all(1)


def areas(points: Float[Tensor, "b n 2"], polygons: Int[Tensor, "b k"]) -> Float[Tensor, "b"]:
    """Returns the areas that the polygons enclose, by the shoelace formula, in float64."""
    corners = _corners(points, polygons)
    corners = corners - corners[:, :1]  # near the origin nothing cancels
    return _cross(corners, corners.roll(-1, 1)).sum(1).abs() / 2


def are_simple(points: Float[Tensor, "b n 2"], polygons: Int[Tensor, "b k"]) -> Bool[Tensor, "b"]:
    """Whether polygons have at least three vertices and an outline that never meets itself (so none is repeated)."""
    rows = max(1, PAIRS // polygons.shape[1] ** 2)
    if rows < len(polygons):
        return torch.cat([are_simple(*part) for part in zip(points.split(rows), polygons.split(rows), strict=True)])
    corners = _corners(points, polygons)
    counts = vertex_counts(polygons).unsqueeze(1)
    place = torch.arange(corners.shape[1], device=corners.device)
    real = place < counts
    ends = corners.roll(-1, 1)  # edge i goes from corner i to the next; the last one closes the polygon
    edges = ends - corners

    # Two edges meet when each has the ends of the other on different sides, or on itself, and their boxes overlap
    side = _cross(edges.unsqueeze(2), corners.unsqueeze(1) - corners.unsqueeze(2)).sign_()  # of corner j, at edge i
    straddles = side * side.roll(-1, 2) <= 0
    low, high = torch.minimum(corners, ends), torch.maximum(corners, ends)
    reaches = (low.unsqueeze(2) <= high.unsqueeze(1)).all(-1)
    meets = straddles & straddles.mT & reaches & reaches.mT
    gap = (place.unsqueeze(1) - place).abs()
    apart = (gap > 1) & (gap < counts.unsqueeze(1) - 1) & real.unsqueeze(1) & real.unsqueeze(2)

    # Neighbours meet in a corner; what they must not do is turn right back, or have no length
    following = edges.gather(1, ((place + 1) % counts.clamp(min=1)).unsqueeze(-1).expand_as(edges))
    back = (_cross(edges, following) == 0) & ((edges * following).sum(-1) <= 0) & real
    return (counts.squeeze(1) >= 3) & ~(meets & apart).any(2).any(1) & ~back.any(1)


def _from_lowest(polygons: Int[Tensor, "b k"], counts: Int[Tensor, "b"]) -> Int[Tensor, "b k"]:
    """Rotates every polygon so that it starts at its lowest number; what follows the first 0 becomes 0."""
    place = torch.arange(polygons.shape[1], device=polygons.device)
    padding = place >= counts.unsqueeze(1)
    lowest = polygons.masked_fill(padding, torch.iinfo(polygons.dtype).max).argmin(1, keepdim=True)
    turned = polygons.gather(1, (lowest + place) % counts.clamp(min=1).unsqueeze(1))
    return turned.masked_fill_(padding, 0)


def _corners(points: Float[Tensor, "b n 2"], polygons: Int[Tensor, "b k"]) -> Float[Tensor, "b k 2"]:
    """Returns the vertices' coordinates; padding repeats the first one: it closes the polygon and adds nothing."""
    place = torch.arange(polygons.shape[1], device=polygons.device)
    closed = torch.where(place < vertex_counts(polygons).unsqueeze(1), polygons, polygons[:, :1])
    rows = (closed - 1).clamp_(min=0).unsqueeze(-1).expand(-1, -1, points.shape[-1])
    return points.double().gather(1, rows)


def _cross(u: Float[Tensor, "*shape 2"], v: Float[Tensor, "*shape 2"]) -> Float[Tensor, "*shape"]:
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
