"""Geometry: hulls as scipy finds them, and what polygons are."""

import numpy as np
import pytest
import scipy.spatial
import torch
from rk_pointer_net import naive
from rk_pointer_net.hull import are_simple, areas, convex_hulls, same_polygons, vertex_counts

SQUARE = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.5, 0.5], [0.5, 0.0]]
"""Corners 1 to 4 counter-clockwise, 5 in the middle, 6 on the lower edge."""


def rows(polygons: torch.Tensor) -> list[list[int]]:
    return [row[:count].tolist() for row, count in zip(polygons, vertex_counts(polygons), strict=True)]


def polygon(*numbers: int) -> torch.Tensor:
    return torch.tensor([[*numbers, 0]])


def hull_of(*points: tuple[float, float]) -> list[int]:
    (hull,) = rows(convex_hulls(torch.tensor([points])))
    return hull


@pytest.mark.parametrize("n", [3, 4, 5, 10, 23, 50, 200], ids=lambda n: f"n{n}")
def test_random_sets_have_the_hulls_that_scipy_finds(n):
    points = torch.rand(100, n, 2, generator=torch.Generator().manual_seed(n))
    hulls = convex_hulls(points)
    assert (hulls[:, -1] == 0).all()
    for one, hull, area in zip(points.numpy(), rows(hulls), areas(points, hulls), strict=True):
        wanted = scipy.spatial.ConvexHull(one)
        first = wanted.vertices.argmin()
        assert hull == (np.roll(wanted.vertices, -first) + 1).tolist()
        assert area.item() == pytest.approx(wanted.volume, rel=1e-6)


@pytest.mark.parametrize("cells", [2, 3, 8], ids=lambda c: f"grid{c}")
def test_sets_full_of_equal_and_collinear_points_have_strict_hulls(cells):
    points = torch.randint(cells, (300, 9, 2), generator=torch.Generator().manual_seed(cells)).float()
    for one, hull in zip(points.tolist(), rows(convex_hulls(points)), strict=True):
        assert hull == naive.convex_hull([tuple(point) for point in one])


def test_points_on_a_line_get_their_extreme_points_as_hull():
    assert hull_of((0.3, 0.3), (0.3, 0.3), (0.3, 0.3)) == [1]
    assert hull_of((0.3, 0.3), (0.7, 0.1), (0.3, 0.3)) == [1, 2]
    assert hull_of((0.5, 0.5), (0.9, 0.9), (0.1, 0.1), (0.3, 0.3)) == [2, 3]
    assert hull_of((0.5, 0.5), (0.5, 0.9), (0.5, 0.1)) == [2, 3]
    assert hull_of((0.5, 0.5), (0.9, 0.5), (0.1, 0.5)) == [2, 3]
    assert hull_of((0.2, 0.4)) == [1]
    assert hull_of((0.0, 0.0), (-0.0, 1.0), (0.0, 0.5), (1.0, 0.0)) == [1, 4, 2]


def test_hulls_run_counter_clockwise_from_the_lowest_number():
    assert hull_of((0.5, 0.5), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0), (0.0, 1.0)) == [2, 5, 3, 4]


def test_sets_beyond_one_slice_come_out_alike():
    points = torch.rand(64, 60, 2)
    assert rows(convex_hulls(points)) == [rows(convex_hulls(one[None]))[0] for one in points]


@pytest.mark.parametrize(
    ("numbers", "simple"),
    [
        ((1, 2, 3, 4), True),
        ((4, 3, 2, 1), True),
        ((1, 2, 5), True),
        ((1, 2, 3, 5), True),
        ((1, 3, 2, 4), False),  # a bow-tie
        ((1, 2, 3, 4, 1), False),  # the first corner again
        ((1, 2, 3, 2), False),  # there and back
        ((1, 2, 2, 3), False),
        ((1, 6, 2, 3), True),  # a straight angle is allowed
        ((1, 2, 6, 3), False),  # turns back on its own edge
        ((1, 2, 3, 6, 4), False),  # touches an edge
        ((1, 2), False),
        ((1, 6, 2), False),  # no area
        ((1,), False),
        ((), False),
    ],
    ids=str,
)
def test_simple_polygons(numbers, simple):
    assert are_simple(torch.tensor([SQUARE]), polygon(*numbers)).tolist() == [simple]
    # beside a longer row, with padding after it
    points = torch.tensor([SQUARE, SQUARE])
    both = torch.tensor([[1, 2, 3, 4, 0, 0], [*numbers, *[0] * (6 - len(numbers))]])
    assert are_simple(points, both).tolist() == [True, simple]


def test_equal_points_under_two_numbers_make_no_simple_polygon():
    points = torch.tensor([[*SQUARE[:4], SQUARE[1]]])
    assert are_simple(points, polygon(1, 2, 3, 4)).item()
    assert not are_simple(points, polygon(1, 2, 5, 3, 4)).item()


def test_every_hull_is_simple_and_random_tours_agree_with_the_naive_check():
    points = torch.rand(200, 6, 2)
    assert are_simple(points, convex_hulls(points)).all()
    tours = torch.stack([torch.randperm(6) + 1 for _ in range(200)])
    tours = torch.cat([tours, torch.zeros(200, 1, dtype=torch.long)], 1)
    for one, tour, simple in zip(points, tours, are_simple(points, tours), strict=True):
        corners = one[tour[:-1] - 1].double()
        assert simple.item() == (not crosses_itself(corners))


def crosses_itself(corners: torch.Tensor) -> bool:
    """Solves for the crossing of each pair of edges that are not neighbours."""
    k = len(corners)
    for i in range(k):
        for j in range(i + 2, k - (i == 0)):
            a, b, c, d = corners[i], corners[(i + 1) % k], corners[j], corners[(j + 1) % k]
            s, t = torch.linalg.solve(torch.stack([b - a, c - d], 1), c - a).tolist()
            if 0 <= s <= 1 and 0 <= t <= 1:
                return True
    return False


def test_areas_do_not_depend_on_direction_or_padding():
    points = torch.tensor([SQUARE] * 4)
    polygons = torch.tensor([[1, 2, 3, 4, 0, 0], [4, 3, 2, 1, 0, 0], [1, 2, 5, 0, 0, 0], [1, 2, 0, 0, 0, 0]])
    assert areas(points, polygons).tolist() == [1.0, 1.0, 0.25, 0.0]


def test_polygons_are_the_same_from_any_start_and_in_either_direction():
    first = torch.tensor([[2, 4, 3, 7, 0]]).expand(7, -1)
    second = torch.tensor([
        [2, 4, 3, 7, 0, 0],
        [3, 7, 2, 4, 0, 0],
        [4, 2, 7, 3, 0, 0],
        [2, 3, 4, 7, 0, 0],
        [2, 4, 3, 0, 0, 0],
        [2, 4, 3, 7, 2, 0],
        [0, 2, 4, 3, 7, 0],
    ])  # fmt: skip
    assert same_polygons(first, second).tolist() == [True, True, True, False, False, False, False]
    assert same_polygons(second, first).tolist() == [True, True, True, False, False, False, False]


def test_long_polygons_are_judged_in_slices_alike():
    points = torch.rand(8, 150, 2, generator=torch.Generator().manual_seed(0))
    around = (points[0] - 0.5).double()
    star = torch.atan2(around[:, 1], around[:, 0]).argsort() + 1  # seen from one place in order: never crosses itself
    crossed = star.clone()
    crossed[[10, 90]] = star[[90, 10]]
    tours = torch.stack([star, crossed] * 4)
    simple = are_simple(points[:1].expand(8, -1, -1), torch.cat([tours, torch.zeros(8, 1, dtype=torch.long)], 1))
    assert simple.tolist() == [True, False] * 4
