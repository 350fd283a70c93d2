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


ORIENTATIONS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))
"""Axes of the grid that are mirrored: edges go right and down, left and down, right and up, left and up."""


class Way(NamedTuple):
    """How states cross blocks of rows, down or up; those of edges to the right and to the left side by side.

    Attributes:
        transition: From the states that enter to those that leave.
        source: From the nodes to the states that leave.
        mark: From the states that enter to the nodes, transposed.
    """

    transition: Float[Tensor, "*batch n sides w w"]
    source: Float[Tensor, "*batch n sides w m"]
    mark: Float[Tensor, "*batch n sides w m"]

    def halves(self) -> tuple[Way, Way]:
        """Returns every second block, and those behind them."""
        pairs = (part.unflatten(-4, (-1, 2)).unbind(-4) for part in self)
        first, second = zip(*pairs, strict=True)
        return Way(*first), Way(*second)

    def split(self, place: int) -> tuple[Way, Way]:
        """Returns the blocks before a place, and the others."""
        return Way(*(part[..., :place, :, :, :] for part in self)), Way(*(part[..., place:, :, :, :] for part in self))

    def reads(self, other: Way) -> Float[Tensor, "*batch n m m2"]:
        """Returns G from the nodes of the block before, `other`, to the own ones: the sum over both sides."""
        return self.mark.flatten(-3, -2).mT @ other.source.flatten(-3, -2)


class Rows(NamedTuple):
    """Blocks of rows, from the top of the grid to its bottom.

    Attributes:
        ways: Down and up; None where nothing follows.
        inner: From the nodes to the nodes, the sum over all orientations: G.
    """

    ways: tuple[Way, Way] | None
    inner: Float[Tensor, "*batch n m m"]

    def halves(self) -> tuple[Rows, Rows]:
        """Returns every second block, and those behind them."""
        assert self.ways is not None
        (down1, down2), (up1, up2) = (way.halves() for way in self.ways)
        inner1, inner2 = self.inner.unflatten(-3, (-1, 2)).unbind(-3)
        return Rows((down1, up1), inner1), Rows((down2, up2), inner2)

    def split(self, place: int) -> tuple[Rows, Rows]:
        """Returns the blocks before a place, and the others."""
        assert self.ways is not None
        (down1, down2), (up1, up2) = (way.split(place) for way in self.ways)
        return Rows((down1, up1), self.inner[..., :place, :, :]), Rows((down2, up2), self.inner[..., place:, :, :])


def grid_matrix(gates: GridGates, direct: Float[Tensor, "*batch h w"]) -> Float[Tensor, "*batch h*w h*w"]:
    """Returns G of all nodes, row by row: the sum over orientations and all of their paths, and D on the diagonal.

    Each row is a block whose border is the edges that come from above, or from below. Within a row, the lines of edges
    to the right and to the left give what moves between columns. So it takes log2(w) and then log2(h) rounds. Nothing
    is mirrored: each orientation leads to a quarter of the nodes, and all are added where they belong.

    Args:
        gates: Of each of the four `ORIENTATIONS`, (*batch, 4, h, w).
        direct: D, which all orientations share.
    """
    return _joined(_rows(gates, direct), more=False).inner.squeeze(-3)


def _rows(gates: GridGates, direct: Tensor) -> Rows:
    """Returns each row of the grid as a block."""
    g = GridGates(*(gate.unflatten(-3, (2, 2)).movedim(-3, -2) for gate in gates))  # down or up, h, right or left, w
    one, zero = torch.ones_like(g.right_right), torch.zeros_like(g.right_right)
    right, left = line_segment(g.right_right, one, one, zero).inner.squeeze(-3).unbind(-3)
    along = torch.stack([right, left.mT], -3)  # from a column to a later one: products of what is between them
    turned, own = along * g.right_down.unsqueeze(-1), g.source_right.unsqueeze(-2)
    from_above, marked = g.down_right.unsqueeze(-2), along * g.mark_right.unsqueeze(-1)
    way = Way(
        transition=g.down_down.diag_embed() + turned * from_above,
        source=g.source_down.diag_embed() + turned * own,
        mark=g.mark_down.diag_embed() + (marked * from_above).mT,
    )
    down, up = (Way(*parts) for parts in zip(*(part.unbind(-5) for part in way), strict=True))
    return Rows((down, up), (marked * own).sum((-5, -3)) + direct.diag_embed())


def _joined(rows: Rows, more: bool) -> Rows:
    """Returns all blocks as one: log2(n) rounds, and one more for each odd number; `more`: whether others follow."""
    n = rows.inner.shape[-3]
    if n == 1:
        return rows
    if n % 2:
        even, last = rows.split(n - 1)
        return _stacked(_joined(even, more=True), last, more)
    return _joined(_stacked(*rows.halves(), more or n > 2), more)


def _stacked(above: Rows, below: Rows, more: bool) -> Rows:
    """Returns each block of `above` with its neighbour of `below`: one round."""
    assert above.ways is not None
    assert below.ways is not None
    (down1, up1), (down2, up2) = above.ways, below.ways
    inner = torch.cat(
        [torch.cat([above.inner, up1.reads(up2)], -1), torch.cat([down2.reads(down1), below.inner], -1)], -2
    )
    if not more:
        return Rows(None, inner)
    down = Way(
        down2.transition @ down1.transition,
        torch.cat([down2.transition @ down1.source, down2.source], -1),
        torch.cat([down1.mark, down1.transition.mT @ down2.mark], -1),
    )
    up = Way(
        up1.transition @ up2.transition,
        torch.cat([up1.source, up1.transition @ up2.source], -1),
        torch.cat([up2.transition.mT @ up1.mark, up2.mark], -1),
    )
    return Rows((down, up), inner)


def _times(a: Tensor, b: Tensor) -> Tensor:
    return a * b if a.shape[-1] == 1 else a @ b
