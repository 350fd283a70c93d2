"""What networks without positions, or with a part of the sequence, cannot reach, beside networks that try."""

from __future__ import annotations

import itertools

import pytest
import torch
from rk_single_layer_transformer import bounds, naive
from rk_single_layer_transformer.functions import FUNCTIONS, Function, max_sin, sort
from rk_single_layer_transformer.model import SingleLayerTransformer

AXIS = torch.linspace(0, 1, 5, dtype=torch.float64)


def on_grid(function: Function, n: int, d: int = 1) -> torch.Tensor:
    points = torch.cartesian_prod(*[AXIS] * (n * d)).view(-1, n, d)
    return function(points).view(*[5] * (n * d), n, -1)


@pytest.mark.parametrize(("name", "n"), [("max-sin", 2), ("sort", 2), ("sort", 3), ("running-mean", 3)])
def test_the_bound_without_positions_is_half_of_the_largest_mismatch(name, n):
    function = FUNCTIONS[name]
    sup, _ = bounds.without_positions(on_grid(function, n), 1)
    assert sup == pytest.approx(naive.without_positions(function, AXIS, n))


def test_the_first_numbers_of_max_sin():
    axis = torch.linspace(0, 1, 61, dtype=torch.float64)
    values = max_sin(torch.cartesian_prod(axis, axis).view(-1, 2, 1)).view(61, 61, 2, 1)
    sup, rms = bounds.without_positions(values, 1)
    assert sup == pytest.approx(0.5) and rms == pytest.approx(0.219, abs=0.002)


@pytest.mark.parametrize(("n", "d"), [(2, 1), (3, 1), (2, 2)])
def test_an_equivariant_function_can_be_reached_without_positions(n, d):
    values = on_grid(FUNCTIONS["equivariant"], n, d)
    assert bounds.without_positions(values, d) == pytest.approx((0.0, 0.0), abs=1e-7)
    assert min(bounds.without_positions(on_grid(sort, n, d), d)) > 0.1


def test_the_mean_over_permutations_reaches_the_bound_of_the_rms_error():
    values = on_grid(sort, 3)
    points = torch.cartesian_prod(*[AXIS] * 3).view(-1, 3, 1)
    total = torch.zeros_like(points)
    for order in itertools.permutations(range(3)):
        back = torch.argsort(torch.tensor(order))
        total += sort(points[:, list(order)])[:, back]
    reached = float((total / 6 - sort(points)).square().mean().sqrt())
    assert bounds.without_positions(values, 1)[1] == pytest.approx(reached)


def test_what_is_seen_is_enough_for_functions_of_it():
    own, past = [[0], [1], [2]], [[0], [0, 1], [0, 1, 2]]
    assert bounds.from_view(on_grid(FUNCTIONS["tokenwise"], 3), 1, own) == pytest.approx((0.0, 0.0), abs=1e-9)
    assert bounds.from_view(on_grid(FUNCTIONS["running-mean"], 3), 1, past) == pytest.approx((0.0, 0.0), abs=1e-9)
    assert min(bounds.from_view(on_grid(FUNCTIONS["running-mean"], 3), 1, own)) > 0.05


def test_the_bound_of_a_view_is_half_of_a_range_and_a_deviation():
    values = on_grid(max_sin, 2)
    ranges, squares = [], []
    for i in range(2):
        for own in range(5):
            same = [float(values[(own, other) if i == 0 else (other, own)][i]) for other in range(5)]
            mean = sum(same) / 5
            ranges.append(max(same) - min(same))
            squares += [(v - mean) ** 2 for v in same]
    expected = max(ranges) / 2, (sum(squares) / len(squares)) ** 0.5
    assert bounds.from_view(values, 1, [[0], [1]]) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_no_network_without_positions_passes_the_bound(seed):
    torch.manual_seed(seed)
    model = SingleLayerTransformer(
        num_features=1, num_outputs=1, num_steps=3, positions="none", d_model=16, num_heads=2, ffn_width=32
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    points = torch.cartesian_prod(*[AXIS.float()] * 3).view(-1, 3, 1)
    targets = sort(points)
    for _ in range(60):
        optimizer.zero_grad()
        (model(inputs=points)["values"] - targets).square().mean().backward()
        optimizer.step()
    errors = (model(inputs=points)["values"] - targets).detach().abs()
    sup, rms = bounds.without_positions(on_grid(sort, 3), 1)
    assert float(errors.max()) >= sup - 1e-6 and float(errors.square().mean().sqrt()) >= rms - 1e-6


@pytest.mark.parametrize(("positions", "equivariant"), [("none", True), ("learned", False), ("onehot", False)])
def test_only_positions_break_the_symmetry(positions, equivariant):
    torch.manual_seed(0)
    model = SingleLayerTransformer(num_features=2, num_outputs=1, num_steps=4, positions=positions).double()
    x = torch.rand(3, 4, 2, dtype=torch.float64)
    order = [2, 0, 3, 1]
    same = torch.allclose(model(inputs=x[:, order])["values"], model(inputs=x)["values"][:, order], atol=1e-9)
    assert same == equivariant
