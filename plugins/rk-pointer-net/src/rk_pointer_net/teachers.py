"""The paper's approximate teachers for tours, built to the lengths that it reports of them.

The paper names its A3 (Christofides) and only points at the programs that A1 and A2 are. Here A1 is greedy edges, A2 is
A1 after 2-opt, and A3 the shortest of 2-opt from three beginnings. Their mean lengths are within 4%, 1% and 1% of the
paper's for 5 to 50 points. All take distances (b, n, n) and return orders of points from 0.
"""

# b batch, n points

import torch
from jaxtyping import Float, Int
from torch import Tensor

LEAST_GAIN = 1e-12
"""The smallest improvement of 2-opt, as a share of the longest distance: more than rounding."""

Distances = Float[Tensor, "b n n"]
Orders = Int[Tensor, "b n"]


def a1(d: Distances) -> Orders:
    """Greedy edges: 3% (5 points), 8% (10) to 17% (50) above the shortest."""
    return greedy_edges(d)


def a2(d: Distances) -> Orders:
    """Greedy edges, then 2-opt: 0.3% (10 points) to 3% (50) above the shortest."""
    return two_opt(d, greedy_edges(d))


def a3(d: Distances) -> Orders:
    """The shortest of 2-opt from greedy edges, nearest neighbours, farthest insertion: 0.1% (13) to 2% (50) above."""
    tours = torch.stack([two_opt(d, begin(d)) for begin in (greedy_edges, nearest_neighbours, farthest_insertion)])
    sets = torch.arange(d.shape[0])
    lengths = d[sets.unsqueeze(1), tours, tours.roll(-1, 2)].sum(2)
    return tours[lengths.argmin(0), sets]


def greedy_edges(d: Distances) -> Orders:
    """Joins the two closest points again and again, unless one has two neighbours or a circle would close early."""
    b, n, _ = d.shape
    sets = torch.arange(b)
    open_ = d + torch.full((n,), torch.inf, dtype=d.dtype).diag()
    neighbours = torch.full((b, n, 2), -1)
    degree = torch.zeros(b, n, dtype=torch.long)
    other_end = torch.arange(n).repeat(b, 1)  # of the path that a point ends; only that matters of a path
    for _ in range(n - 1):
        pair = open_.flatten(1).argmin(1)
        u, v = pair // n, pair % n
        for one, other in ((u, v), (v, u)):
            neighbours[sets, one, degree[sets, one]] = other
            degree[sets, one] += 1
            full = sets[degree[sets, one] == 2]
            open_[full, one[full]] = torch.inf
            open_[full, :, one[full]] = torch.inf
        first, last = other_end[sets, u], other_end[sets, v]
        other_end[sets, first], other_end[sets, last] = last, first
        open_[sets, first, last] = open_[sets, last, first] = torch.inf
    # one path is left: walk it from one of its ends
    before, here = torch.full((b,), -1), degree.argmin(1)
    order = [here]
    for _ in range(n - 1):
        one, other = neighbours[sets, here].unbind(1)
        before, here = here, torch.where((one == before) | (one < 0), other, one)
        order.append(here)
    return torch.stack(order, 1)


def nearest_neighbours(d: Distances) -> Orders:
    """Goes from point 0 to the nearest point that has not been visited, again and again."""
    b, n, _ = d.shape
    sets = torch.arange(b)
    open_ = d.clone()
    here = torch.zeros(b, dtype=torch.long)
    order = [here]
    for _ in range(n - 1):
        open_[sets, :, here] = torch.inf
        here = open_[sets, here].argmin(1)
        order.append(here)
    return torch.stack(order, 1)


def farthest_insertion(d: Distances) -> Orders:
    """Puts the point that is farthest from the tour where the tour grows least, again and again."""
    b, n, _ = d.shape
    sets = torch.arange(b)
    following = torch.zeros(b, n, dtype=torch.long)
    visited = torch.zeros(b, n, dtype=torch.bool)
    visited[:, 0] = True
    near = d[:, 0].clone()
    for _ in range(n - 1):
        new = near.masked_fill(visited, -1.0).argmax(1)
        to_new = d[sets, new]
        growth = to_new + to_new.gather(1, following) - d.gather(2, following.unsqueeze(2)).squeeze(2)
        before = growth.masked_fill_(~visited, torch.inf).argmin(1)
        following[sets, new] = following[sets, before]
        following[sets, before] = new
        visited[sets, new] = True
        near = torch.minimum(near, to_new)
    order = [torch.zeros(b, dtype=torch.long)]
    for _ in range(n - 1):
        order.append(following[sets, order[-1]])
    return torch.stack(order, 1)


def two_opt(d: Distances, orders: Orders) -> Orders:
    """Turns the stretch of a tour around that shortens it most, until none does."""
    n = d.shape[1]
    orders = orders.clone()
    place = torch.arange(n)
    least = LEAST_GAIN * d.amax((1, 2))
    sets = torch.arange(d.shape[0])  # those that are still getting shorter
    while sets.numel():
        order = orders[sets]
        # between stop i and stop j, and between what follows them; turning i+1 ... j swaps edges (i, i+1), (j, j+1)
        apart = d[sets[:, None, None], order.unsqueeze(2), order.unsqueeze(1)]
        after = apart.roll((-1, -1), (1, 2))
        edges = apart.roll(-1, 2).diagonal(dim1=1, dim2=2)
        gain = (edges.unsqueeze(1) + edges.unsqueeze(2)).sub_(apart).sub_(after).triu_(1)
        most, pair = gain.flatten(1).max(1)
        i, j = (pair // n).unsqueeze(1), (pair % n).unsqueeze(1)
        order = order.gather(1, torch.where((place > i) & (place <= j), i + 1 + j - place, place))
        shorter = most > least[sets]
        sets = sets[shorter]
        orders[sets] = order[shorter]
    return orders
