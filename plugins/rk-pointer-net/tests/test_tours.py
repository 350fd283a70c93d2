"""Tours: exact ones as trying all of them finds, teachers as plain loops do it, and one way of writing each."""

import pytest
import torch
from rk_pointer_net import naive
from rk_pointer_net.teachers import two_opt
from rk_pointer_net.tours import best_solver, distances, solve, tour_lengths, written

SOLVERS = ["exact", "a1", "a2", "a3"]


def draw(b: int, n: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(b, n, 2, generator=torch.Generator().manual_seed(seed))


def one_by_one(solver: str, points: torch.Tensor) -> list[list[int]]:
    plain = getattr(naive, {"exact": "held_karp"}.get(solver, solver))
    return [plain(d.numpy()) for d in distances(points)]


@pytest.mark.parametrize("n", [3, 4, 5, 6, 7], ids=lambda n: f"n{n}")
def test_held_karp_finds_what_trying_all_tours_finds(n):
    points = draw(20, n)
    tried = [naive.shortest_tour(d.numpy()) for d in distances(points)]
    assert solve(points, "exact").tolist() == tried == one_by_one("exact", points)


@pytest.mark.parametrize("n", [8, 10, 12], ids=lambda n: f"n{n}")
def test_held_karp_equals_its_plain_form(n):
    points = draw(3, n)
    assert solve(points, "exact").tolist() == one_by_one("exact", points)


@pytest.mark.parametrize("n", [3, 4, 5, 9, 16], ids=lambda n: f"n{n}")
@pytest.mark.parametrize("teacher", ["a1", "a2", "a3"])
def test_teachers_equal_their_plain_form(teacher, n):
    points = draw(8, n, seed=n)
    assert solve(points, teacher).tolist() == one_by_one(teacher, points)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_tour_names_every_point_once_from_the_first_in_one_direction(solver):
    for n in (3, 6, 11):
        tours = solve(draw(100, n), solver)
        assert (tours.sort(1).values == torch.arange(1, n + 1)).all()
        assert (tours[:, 0] == 1).all()
        assert (tours[:, 1] < tours[:, -1]).all()


def test_every_start_and_direction_is_written_alike():
    tour = torch.tensor([0, 2, 4, 1, 3])
    every = torch.stack([way.roll(k) for way in (tour, tour.flip(0)) for k in range(5)])
    assert written(every).tolist() == [[1, 3, 5, 2, 4]] * 10


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_tour_does_not_depend_on_the_batch(solver, monkeypatch):
    points = draw(40, 9)
    together = solve(points, solver)
    monkeypatch.setattr("rk_pointer_net.tours.PAIRS", 1)  # sets one by one
    assert torch.equal(solve(points, solver), together)
    monkeypatch.undo()
    monkeypatch.setattr("rk_pointer_net.tours.SUMS", 1)
    assert torch.equal(solve(points, solver), together)


@pytest.mark.parametrize("solver", SOLVERS)
def test_equal_points_and_points_on_a_line_have_tours(solver):
    same = torch.full((1, 6, 2), 0.3)
    line = torch.tensor([[[0.1, 0.1], [0.5, 0.5], [0.3, 0.3], [0.5, 0.5], [0.9, 0.9], [0.2, 0.2]]])
    for points, length in ((same, 0.0), (line, 2 * 0.8 * 2**0.5)):
        tours = solve(points, solver)
        assert tours.sort(1).values.tolist() == [[1, 2, 3, 4, 5, 6]]
        if solver != "a1":
            assert tour_lengths(points, tours).item() == pytest.approx(length, abs=1e-6)


def test_lengths_close_the_tour_and_end_with_the_first_zero():
    points = torch.tensor([[[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]]] * 4)
    tours = torch.tensor([[1, 2, 3, 0], [1, 3, 0, 0], [2, 0, 1, 3], [0, 0, 0, 0]])
    assert tour_lengths(points, tours).tolist() == [12.0, 10.0, 0.0, 0.0]
    assert tour_lengths(points, tours[:1, :3]).tolist() == [12.0]


def test_no_turned_stretch_makes_a_2_opt_tour_shorter():
    points = draw(5, 12)
    d = distances(points)
    orders = two_opt(d, torch.arange(12).expand(5, -1))
    lengths = tour_lengths(points, orders + 1)
    for i in range(12):
        for j in range(i + 2, 13):
            turned = torch.cat([orders[:, :i], orders[:, i:j].flip(1), orders[:, j:]], 1)
            assert (tour_lengths(points, turned + 1) > lengths - 1e-9).all()


PAPER = {5: (2.12, 2.18, 2.12, 2.12), 10: (2.87, 3.07, 2.87, 2.87), 20: (3.83, 4.24, 3.86, 3.85)}
"""Mean lengths in the paper's Table 2: optimal, A1, A2, A3."""


@pytest.mark.parametrize(("n", "sets", "error"), [(5, 4000, 0.007), (10, 2000, 0.008), (20, 500, 0.015)])
def test_mean_lengths_are_near_those_of_the_paper(n, sets, error):
    points = draw(sets, n, seed=1)
    lengths = {
        solver: tour_lengths(points, solve(points, solver)) for solver in SOLVERS if solver != "exact" or n <= 10
    }
    for solver, paper in zip(SOLVERS, PAPER[n], strict=True):
        if solver in lengths:
            share = 0.03 if solver == "a1" else 0.01
            assert lengths[solver].mean().item() == pytest.approx(paper, rel=share, abs=3 * error), solver
    if "exact" in lengths:
        assert all((lengths["exact"] <= other + 1e-9).all() for other in lengths.values())
    assert (lengths["a3"] <= lengths["a2"] + 1e-9).all()
    assert (lengths["a2"] <= lengths["a1"] + 1e-9).all()


def test_the_best_solver_is_exact_as_long_as_it_is_quick():
    assert [best_solver(n) for n in (3, 13, 14, 50)] == ["exact", "exact", "a3", "a3"]
