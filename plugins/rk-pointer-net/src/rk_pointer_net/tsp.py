"""Task `tsp`: points in the unit square, and the shortest tour through all of them as a list of point numbers."""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional as F

from rk.protocols import Batch, Outputs
from rk.sampling import generator, rows
from rk_pointer_net.hull import vertex_counts
from rk_pointer_net.point_task import PointBatch, PointTask, sets_of
from rk_pointer_net.pool import Pool, kept
from rk_pointer_net.reading import PointSet
from rk_pointer_net.styles import TOURS
from rk_pointer_net.tour_metrics import TourGap, TourLength, are_tours, valid_rate
from rk_pointer_net.tours import MOST_EXACT, VERSION, best_solver, solve, tour_lengths

SOLVED_AT_ONCE = 10_000
"""Sets of a pool with one generator: these many are drawn, then solved."""


class TSP(PointTask):
    """Finds the shortest tour through points drawn uniformly from the unit square, and back to its start.

    An answer lists all points, beginning with point 1; of the two directions, targets have the one whose second number
    is below its last. All sets of a batch have the same size: drawn for every training batch, or, from a pool, one
    size after the other. Test sets have the shortest tours that can be had as their targets, whatever the solver.

    Args:
        solver: Whose tours are learned: `exact` (up to 13 points), or the paper's approximate `a1`, `a2` or `a3`.
        pool: Training sets in all, equally many of each size, that are solved once, kept in a file and then trained on
            again and again; null draws and solves new ones for every batch.

    Examples:
        data: {name: tsp, num_points: [5, 10], solver: exact, pool: 100000}
    """

    metrics = {
        "length": TourLength,
        "gap": TourGap,
        "valid": valid_rate,
    }
    _style = TOURS
    _needs = "a tour needs at least 3"
    _keeps_shape = True

    def __init__(
        self,
        *,
        solver: Literal["exact", "a1", "a2", "a3"] = "exact",
        pool: Annotated[int, Ge(1)] | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.solver = solver
        self.pool = pool
        self._pools: dict[int, Pool] = {}
        if solver == "exact" and self.largest > MOST_EXACT:
            raise ValueError(f"solver exact takes at most {MOST_EXACT} points, got {self.largest}; take a3")
        if pool is not None and pool <= self.largest - self.smallest:
            raise ValueError(f"pool must have at least one set of each size of num_points, got {pool}")

    def prepare(self) -> None:
        """Reads the pool, or draws and solves it where it is not kept yet."""
        if self.pool is None:
            return
        sizes = range(self.smallest, self.largest + 1)
        for n in sizes:
            count = self.pool // len(sizes) + (n - self.smallest < self.pool % len(sizes))
            key = {"task": "tsp", "seed": self.seed, "n": n, "sets": count, "solver": self.solver, "version": VERSION}
            self._pools[n] = kept(key, partial(self._draw_pool, n, count))

    def batch(self, split: str, i: int, stage: int = 0) -> PointBatch:
        if split == "train" and self.pool is not None:
            points, tours = self._from_pool(i)
        else:
            points = self.draw(split, i)
            tours = solve(points, best_solver(points.shape[1]) if split in self._tests else self.solver)
        return {"points": points, "targets": F.pad(tours, (0, 1))}

    def _draw_pool(self, n: int, count: int) -> Pool:
        points = torch.cat([
            torch.rand(min(SOLVED_AT_ONCE, count - first), n, 2, generator=generator(self.seed, 2, n, first))
            for first in range(0, count, SOLVED_AT_ONCE)
        ])  # fmt: skip
        return points, torch.cat([solve(part, self.solver).short() for part in points.split(SOLVED_AT_ONCE)])

    def _from_pool(self, i: int) -> Pool:
        """Takes the sizes in turn, and of each size the next rows of a permutation that is new in every epoch."""
        turn, size = divmod(i, len(self._pools))
        points, tours = self._pools[self.smallest + size]
        chosen = rows(len(points), self.batch_size, turn, seed=self.seed, shuffle=True)
        return points[chosen], tours[chosen].long()

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns for each set the answered tour, and how its length in the user's coordinates compares with the best.

        Up to 13 points, the best tour is the shortest; beyond, it is that of `a3`, which an answer may beat.
        """
        sets = sets_of(batch)
        return [_answer(*one) for one in zip(sets, outputs["pointers"].cpu(), best_tours(sets), strict=True)]


def best_tours(sets: Sequence[PointSet]) -> list[Int[Tensor, "n"]]:
    """Returns the best tour of every set, all sets of a size at once."""
    by_size = defaultdict(list)
    for i, points in enumerate(sets):
        by_size[len(points.coordinates)].append(i)
    tours: dict[int, Tensor] = {}
    for n, members in by_size.items():
        solved = solve(torch.stack([sets[i].coordinates for i in members]), best_solver(n))
        tours |= dict(zip(members, solved, strict=True))
    return [tours[i] for i in range(len(sets))]


def _answer(points: PointSet, pointers: Int[Tensor, "m"], best: Int[Tensor, "n"]) -> dict[str, Any]:
    n = len(points.coordinates)
    pointers, coordinates = pointers.unsqueeze(0), points.coordinates.unsqueeze(0)
    valid = bool(are_tours(pointers, n))
    length, best_length = (float(tour_lengths(coordinates, numbers)) for numbers in (pointers, best.unsqueeze(0)))
    tour = pointers[0, : int(vertex_counts(pointers))].tolist()
    answer = {
        "tour": tour,
        "coordinates": [points.coordinates[j - 1].tolist() for j in tour],
        "ended": bool((pointers == 0).any()),
        "valid": valid,
        "length": length if valid else None,
        "gap": _gap(length, best_length) if valid else None,
        "best_tour": best.tolist(),
        "best_length": best_length,
        "best_is_optimal": best_solver(n) == "exact",
    }
    if points.labels:
        answer["labels"] = [points.labels[j - 1] for j in tour]
    return answer


def _gap(length: float, best: float) -> float:
    """Returns how much longer a tour is, as a share; exactly 0 where only the order of summation differs."""
    return 0.0 if abs(length - best) <= 1e-9 * best else length / best - 1
