"""Geometry: triangulations as Qhull finds them, in the paper's order, and whatever shares a circle or a line."""

import math

import pytest
import torch
from rk_pointer_net import naive
from rk_pointer_net import triangulations as module
from rk_pointer_net.hull import convex_hulls, vertex_counts
from rk_pointer_net.triangulations import are_triangulations, incenters, shuffled, triangulations

SQUARE = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.5, 0.5]]
"""Corners 1 to 4 counter-clockwise, 5 in the middle."""


def random_sets(b: int, n: int) -> torch.Tensor:
    return torch.rand(b, n, 2, generator=torch.Generator().manual_seed(n))


def rows(triangles: torch.Tensor) -> list[list[int]]:
    return [[number for number in row if number] for row in triangles.tolist()]


def triangles_of(*points: tuple[float, float]) -> list[int]:
    (row,) = rows(triangulations(torch.tensor([points], dtype=torch.double)))
    return row


def triangulates(points: list, *numbers: int) -> bool:
    return are_triangulations(torch.tensor([points]), torch.tensor([numbers], dtype=torch.long)).item()


@pytest.mark.parametrize("n", [*range(3, 13), 20, 60], ids=lambda n: f"n{n}")
def test_random_sets_have_the_triangles_that_scipy_finds(n):
    points = random_sets(200 if n <= 12 else 20, n)
    found = triangulations(points)
    assert found.dtype == torch.long
    assert found.shape[1] == max(map(len, rows(found)))
    for one, row in zip(points.tolist(), found.tolist(), strict=True):
        wanted = naive.triangulation(one)
        assert row == wanted + [0] * (len(row) - len(wanted))


@pytest.mark.parametrize("n", [3, 5, 12, 30], ids=lambda n: f"n{n}")
def test_the_number_of_triangles_is_eulers(n):
    points = random_sets(50, n)
    found = triangulations(points)
    assert torch.equal((found > 0).sum(1) // 3, 2 * n - 2 - vertex_counts(convex_hulls(points)))
    assert are_triangulations(points, found).all()


def test_both_ways_agree(monkeypatch):
    points = random_sets(100, 9)
    at_once = triangulations(points)
    monkeypatch.setattr(module, "MOST_AT_ONCE", 8)
    assert torch.equal(triangulations(points), at_once)
    monkeypatch.undo()
    monkeypatch.setattr(module, "ANGLES", 1)
    assert torch.equal(triangulations(points), at_once)


def test_numbers_ascend_inside_and_incenters_from_triangle_to_triangle():
    points = random_sets(50, 10)
    found = triangulations(points)
    for row, middles in zip(rows(found), incenters(points, found).tolist(), strict=True):
        triples = list(zip(row[::3], row[1::3], row[2::3], strict=True))
        assert all(a < b < c for a, b, c in triples)
        assert len(set(triples)) == len(triples)
        assert middles[: len(triples)] == sorted(middles[: len(triples)])
        assert all(math.isnan(x) for x, _ in middles[len(triples) :])


def test_the_incenter_is_as_far_from_all_sides():
    points = torch.tensor([[[0.0, 0.0], [4.0, 0.0], [0.0, 3.0]]])
    assert incenters(points, torch.tensor([[1, 2, 3]])).tolist() == [[[1.0, 1.0]]]


def test_the_middle_of_a_square_is_a_corner_of_four_triangles():
    assert triangles_of(*SQUARE) == [1, 4, 5, 1, 2, 5, 3, 4, 5, 2, 3, 5]


def test_corners_of_a_square_get_one_of_both_diagonals():
    assert triangles_of(*SQUARE[:4]) in ([1, 3, 4, 1, 2, 3], [1, 2, 4, 2, 3, 4])


@pytest.mark.parametrize("turn", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("n", [4, 5, 6, 8, 12, 16, 24], ids=lambda n: f"n{n}")
def test_points_on_one_circle_are_triangulated(n, turn):
    angles = torch.arange(n, dtype=torch.double) * (2 * math.pi / n) + turn
    points = torch.stack([angles.cos(), angles.sin()], 1)[None] * torch.tensor([1e-3, 1.0, 1e5]).view(3, 1, 1) + 0.3
    found = triangulations(points)
    assert (found > 0).sum(1).tolist() == [3 * (n - 2)] * 3
    assert are_triangulations(points, found).all()


@pytest.mark.parametrize("noise", [0.0, 1e-17, 1e-15, 1e-13, 1e-11, 1e-9])
@pytest.mark.parametrize("size", [2, 3, 4, 5], ids=lambda s: f"grid{s}")
def test_grids_and_what_is_nearly_one_are_triangulated(size, noise):
    grid = torch.cartesian_prod(torch.arange(size), torch.arange(size)).double() / 10
    random = torch.Generator().manual_seed(size)
    points = torch.stack([grid[torch.randperm(size**2, generator=random)] for _ in range(20)])
    points = points + noise * torch.randn(points.shape, generator=random, dtype=torch.double)
    found = triangulations(points)
    if noise == 0:
        assert (found > 0).sum(1).tolist() == [6 * (size - 1) ** 2] * 20
    assert are_triangulations(points, found).all()


@pytest.mark.parametrize("cells", [3, 4, 8], ids=lambda c: f"cells{c}")
def test_sets_full_of_equal_and_collinear_points_are_triangulated(cells):
    points = torch.randint(cells, (300, 9, 2), generator=torch.Generator().manual_seed(cells)).float()
    found = triangulations(points)
    has_area = vertex_counts(convex_hulls(points)) > 2
    assert torch.equal(are_triangulations(points, found), has_area)
    assert not found[~has_area].any()


def test_points_on_a_line_have_no_triangle():
    assert triangles_of((0.3, 0.3), (0.3, 0.3), (0.3, 0.3)) == []
    assert triangles_of((0.1, 0.1), (0.5, 0.5), (0.3, 0.3), (0.9, 0.9)) == []
    assert triangles_of((0.1, 0.3), (0.2, 0.6), (0.3, 0.9)) == []
    assert triangles_of((0.1, 0.3), (0.2, 0.6)) == []
    assert triangulations(torch.rand(0, 5, 2)).shape == (0, 0)


def test_a_set_in_doubt_leaves_the_rest_of_its_batch_alone():
    points = torch.cat([random_sets(3, 5), torch.tensor([SQUARE, [[0.1, 0.1 * i] for i in range(5)]])])
    found = triangulations(points)
    assert rows(found)[:3] == rows(triangulations(points[:3]))
    assert rows(found)[3:] == [triangles_of(*SQUARE), []]


def test_shuffling_keeps_the_triangles_and_the_padding():
    points = random_sets(100, 7)
    found = triangulations(points)
    mixed = shuffled(found, torch.Generator().manual_seed(0))
    assert torch.equal(mixed, shuffled(found, torch.Generator().manual_seed(0)))
    assert torch.equal(mixed > 0, found > 0)
    sets = [[{frozenset(t) for t in row.view(-1, 3).tolist()} for row in which] for which in (found, mixed)]
    assert sets[0] == sets[1]
    first = found.unflatten(1, (-1, 3))[:, 0]
    assert 0.05 < (mixed[:, :3].sort(1).values == first).all(1).float().mean() < 0.4  # of about six triangles
    assert 0.1 < (mixed[:, :3].sort(1).values == mixed[:, :3]).all(1).float().mean() < 0.25  # of six orders


@pytest.mark.parametrize(
    ("numbers", "valid"),
    [
        ((1, 2, 5, 2, 3, 5, 3, 4, 5, 1, 4, 5), True),
        ((5, 2, 1, 5, 2, 3, 3, 4, 5, 1, 4, 5), True),  # whichever way round
        ((1, 2, 5, 2, 3, 5, 3, 4, 5), False),  # a hole at the edge
        ((1, 2, 5, 2, 3, 5, 3, 4, 5, 3, 4, 5), False),  # one twice, one missing
        ((1, 2, 3, 1, 3, 4), False),  # misses the middle
        ((1, 2, 3, 1, 4, 5, 3, 4, 5), False),  # the middle on an edge
        ((1, 2, 5, 2, 3, 5, 3, 4, 5, 1, 2, 4), False),  # overlaps
        ((1, 2, 5, 2, 3, 5, 3, 4, 5, 1, 4, 5, 1, 2, 3), False),
        ((1, 2, 5, 2, 3, 5, 3, 4, 5, 1, 4, 5, 1, 3, 5), False),  # one without area
        ((1, 2, 5, 2, 3, 5, 3, 4, 5, 1, 4, 5, 1, 1, 2), False),
        ((), False),
    ],
    ids=str,
)
def test_triangulations_cover_the_hull_once_and_use_every_point(numbers, valid):
    assert triangulates(SQUARE, *numbers) == valid
    longer = torch.tensor([[*numbers, *[0] * (18 - len(numbers))], [1, 2, 5, 2, 3, 5, 3, 4, 5, 1, 4, 5, *[0] * 6]])
    assert are_triangulations(torch.tensor([SQUARE, SQUARE]), longer).tolist() == [valid, True]


def test_triangles_with_a_hole_are_not_a_triangulation():
    points = [[0.0, 0.0], [10.0, 0.0], [5.0, 9.0], [4.0, 2.0], [6.0, 2.0], [5.0, 4.0]]
    (whole,) = rows(triangulations(torch.tensor([points])))
    triples = [whole[i : i + 3] for i in range(0, len(whole), 3)]
    assert triangulates(points, *whole)
    assert [4, 5, 6] in triples
    assert not triangulates(points, *[j for triple in triples if triple != [4, 5, 6] for j in triple])
