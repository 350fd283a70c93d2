"""Gate matrices: what the paths between two nodes multiply to, by merging neighbouring segments in rounds.

A segment is a run of nodes. States enter it across a border of some width, which is 1 on a line and the length of a row
on a grid. Two neighbours merge with products alone, without division or logarithms: transitions may be negative or 0.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

# n segments, m nodes of each, w width of the border; h height and w width of a grid


class Segment(NamedTuple):
    """Segments of equal length, the neighbours along the axis n.

    Attributes:
        transition: From the states that enter to those that leave.
        source: From the nodes to the states that leave.
        mark: From the states that enter to the nodes.
        inner: From the nodes to the nodes: G.
    """

    transition: Float[Tensor, "*batch n w w"]
    source: Float[Tensor, "*batch n w m"]
    mark: Float[Tensor, "*batch n m w"]
    inner: Float[Tensor, "*batch n m m"]

    def take(self, places: slice) -> Segment:
        """Returns some of the segments."""
        return Segment(*(part[..., places, :, :] for part in self))


def merge(first: Segment, second: Segment) -> Segment:
    """Returns each segment of `first` with its neighbour of `second` behind it: one round.

    T' = T2 T1, S' = [T2 S1, S2], M' = [M1; M2 T1], and M2 S1 from the nodes of the first to those of the second.
    """
    corner = first.inner.new_zeros(*first.inner.shape[:-1], second.inner.shape[-1])
    above = torch.cat([first.inner, corner], -1)
    below = torch.cat([_times(second.mark, first.source), second.inner], -1)
    return Segment(
        _times(second.transition, first.transition),
        torch.cat([_times(second.transition, first.source), second.source], -1),
        torch.cat([first.mark, _times(second.mark, first.transition)], -2),
        torch.cat([above, below], -2),
    )


def joined(segments: Segment) -> Segment:
    """Returns all segments as a single one: log2(n) rounds, and one more for each odd number on the way."""
    n = segments.transition.shape[-3]
    if n == 1:
        return segments
    even = n - n % 2
    whole = joined(merge(segments.take(slice(0, even, 2)), segments.take(slice(1, even, 2))))
    return whole if even == n else merge(whole, segments.take(slice(even, n)))


def line_segment(
    transition: Float[Tensor, "*batch t"],
    source: Float[Tensor, "*batch t"],
    mark: Float[Tensor, "*batch t"],
    direct: Float[Tensor, "*batch t"],
) -> Segment:
    """Returns a line of nodes as one segment: `inner` is G of (*batch, 1, t, t)."""
    return joined(Segment(*(gate[..., None, None] for gate in (transition, source, mark, direct))))


class GridGates(NamedTuple):
    """Gates of the nodes of a grid whose edges go right and down; each is (*batch, h, w).

    Attributes:
        right_right: T_rl, from the edge that comes from the left to the one that leaves to the right.
        down_right: T_ru, from the edge from above to the right.
        down_down: T_du, from above, downwards.
        right_down: T_dl, from the left, downwards.
        source_right: S_r.
        source_down: S_d.
        mark_right: M_l, reads the edge from the left.
        mark_down: M_u, reads the edge from above.
    """

    right_right: Tensor
    down_right: Tensor
    down_down: Tensor
    right_down: Tensor
    source_right: Tensor
    source_down: Tensor
    mark_right: Tensor
    mark_down: Tensor

    def flipped(self, dims: tuple[int, ...]) -> GridGates:
        """Returns the gates of the mirrored grid."""
        return GridGates(*(gate.flip(dims) for gate in self)) if dims else self


def grid_matrix(gates: GridGates) -> Float[Tensor, "*batch h*w h*w"]:
    """Returns G without its diagonal, of all nodes, row by row: the sum over all paths of their gates.

    Each row is a segment whose border is the edges that come from above. Within a row, the line of edges to the right
    gives what moves between columns. So it takes log2(w) and then log2(h) rounds.
    """
    one, zero = torch.ones_like(gates.right_right), torch.zeros_like(gates.right_right)
    along = line_segment(gates.right_right, one, one, zero).inner.squeeze(-3)  # from a column to a later one
    marked, turned = along * gates.mark_right.unsqueeze(-1), along * gates.right_down.unsqueeze(-1)
    from_above, own = gates.down_right.unsqueeze(-2), gates.source_right.unsqueeze(-2)
    rows = Segment(
        transition=gates.down_down.diag_embed() + turned * from_above,
        source=gates.source_down.diag_embed() + turned * own,
        mark=gates.mark_down.diag_embed() + marked * from_above,
        inner=marked * own,
    )
    return joined(rows).inner.squeeze(-3)


ORIENTATIONS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))
"""Axes of the grid that are mirrored: edges go right and down, left and down, right and up, left and up."""


def oriented_matrix(gates: GridGates) -> Float[Tensor, "*batch h*w h*w"]:
    """Returns the sum of G over orientations, as many as the gates have: each is (*batch, orientations, h, w)."""
    h, w = gates.right_right.shape[-2:]
    total: Tensor | None = None
    for number in range(gates.right_right.shape[-3]):
        flips = ORIENTATIONS[number]
        found = grid_matrix(GridGates(*(gate[..., number, :, :] for gate in gates)).flipped(flips))
        if flips:
            found = found.unflatten(-1, (h, w)).unflatten(-3, (h, w))
            found = found.flip((*flips, *(axis - 2 for axis in flips))).flatten(-4, -3).flatten(-2)
        total = found if total is None else total + found
    assert total is not None
    return total


def _times(a: Tensor, b: Tensor) -> Tensor:
    return a * b if a.shape[-1] == 1 else a @ b
