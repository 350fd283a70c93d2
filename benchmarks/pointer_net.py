"""rk-pointer-net against the same algorithms written one step, one set or one beginning at a time; one thread.

python benchmarks/pointer_net.py
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.spatial
import torch
from paired import interleave, report, seconds
from rk_pointer_net import naive
from rk_pointer_net.data import ConvexHull
from rk_pointer_net.hull import convex_hulls, vertex_counts
from rk_pointer_net.model import PointerNet
from rk_pointer_net.tours import distances, solve
from rk_pointer_net.triangulations import triangulations
from torch.nn import functional as F


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for n, hidden_size, rounds in ((5, 64, 30), (10, 64, 20), (10, 128, 10), (50, 128, 3)):
        teacher_forcing(n, hidden_size, rounds)
    for n in (5, 10, 50):
        hulls(n)
    for n in (5, 10):
        delaunay(n)
    for constraint in ("none", "tour"):
        beams(constraint)
    for n, sets in ((5, 128), (10, 32)):
        tours(n, sets, "exact", naive.held_karp)
    for n, sets in ((10, 128), (20, 32)):
        tours(n, sets, "a3", naive.a3)


def teacher_forcing(n: int, hidden_size: int, rounds: int) -> None:
    """Forward and backward pass of a training batch, against LSTMCell and attention in every step."""
    batch = ConvexHull(seed=0, num_points=(n, n), batch_size=128).batch("train", 0)
    points, targets = batch["points"], batch["targets"]
    model = PointerNet(max_points=n, hidden_size=hidden_size)

    def backward(logits: torch.Tensor) -> tuple[torch.Tensor, ...]:
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        return torch.autograd.grad(loss, model.parameters())

    def at_once() -> tuple[torch.Tensor, ...]:
        return backward(model(points=points, targets=targets)["logits"])

    def step_by_step() -> tuple[torch.Tensor, ...]:
        return backward(naive.forced_logits(model, points, targets))

    torch.testing.assert_close(at_once(), step_by_step(), rtol=1e-3, atol=1e-5)
    title = f"Forward and backward, 128 sets of {n} points, hidden size {hidden_size}"
    compare(title, {"LSTMCell loop": step_by_step, "teacher forcing at once": at_once}, rounds)


def hulls(n: int) -> None:
    """Hulls of a training batch, against scipy's Qhull set by set."""
    points = torch.rand(128, n, 2)

    def one_by_one() -> list[list[int]]:
        vertices = [scipy.spatial.ConvexHull(one).vertices for one in points.numpy()]
        return [(np.roll(v, -v.argmin()) + 1).tolist() for v in vertices]

    found = convex_hulls(points)
    rows = [row[:count].tolist() for row, count in zip(found, vertex_counts(found), strict=True)]
    assert rows == one_by_one()
    contestants = {"scipy, one by one": one_by_one, "the batch at once": lambda: convex_hulls(points)}
    compare(f"Hulls of 128 sets of {n} points", contestants, rounds=30)


def delaunay(n: int) -> None:
    """Triangulations of a training batch, against scipy's Qhull set by set; with more than 16 points, they are it."""
    points = torch.rand(128, n, 2)
    sets = points.tolist()

    def ordered_one_by_one() -> list[list[int]]:
        return [naive.triangulation(one) for one in sets]

    found = [[j for j in row if j] for row in triangulations(points).tolist()]
    assert found == ordered_one_by_one()
    contestants = {
        "scipy, one by one, not ordered": lambda: [scipy.spatial.Delaunay(one) for one in points.numpy()],
        "scipy, one by one, ordered": ordered_one_by_one,
        "the batch at once, ordered": lambda: triangulations(points),
    }
    compare(f"Delaunay triangulations of 128 sets of {n} points", contestants, rounds=30)


def tours(n: int, sets: int, solver: str, plain: Callable[[np.ndarray], list[int]]) -> None:
    """Tours through a batch, against the same method in numpy and lists, set by set."""
    points = torch.rand(sets, n, 2)
    tables = list(distances(points).numpy())

    def one_by_one() -> list[list[int]]:
        return [plain(d) for d in tables]

    def at_once() -> list[list[int]]:
        return solve(points, solver).tolist()

    assert at_once() == one_by_one()
    contestants = {"numpy, one by one": one_by_one, "the batch at once": at_once}
    compare(f"Tours ({solver}) of {sets} sets of {n} points", contestants, rounds=3)


def beams(constraint: str) -> None:
    """Beam search over a batch, against running the decoder again for every beginning of every set."""
    size, n, b = 3, 10, 16
    points = torch.rand(b, n, 2, dtype=torch.double)
    model = PointerNet(max_points=n, hidden_size=64, init_range=1.0, beam_size=size, constraint=constraint).double()

    def at_once() -> list[list[int]]:
        return model.predict(points=points)["pointers"].tolist()

    @torch.no_grad()
    def one_by_one() -> list[list[int]]:
        return [naive.beam_answer(model, one, size, n + 1, constraint)[0] for one in points]

    for answer, choices in zip(at_once(), one_by_one(), strict=True):
        assert answer[: len(choices)] == choices
    contestants = {"beginnings run again": one_by_one, "the batch at once": at_once}
    compare(f"A beam of {size} over {b} sets of {n} points, constraint {constraint}", contestants, rounds=3)


def compare(title: str, contestants: dict[str, Callable[[], object]], rounds: int) -> None:
    """Takes turns and reports medians; the first contestant is the baseline."""
    timed = {name: lambda call=call: seconds(call) for name, call in contestants.items()}
    report(title, interleave(timed, rounds), baseline=next(iter(contestants)))


if __name__ == "__main__":
    main()
