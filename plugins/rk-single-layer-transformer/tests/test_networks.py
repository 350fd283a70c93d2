"""The networks behind attention: gated hinges by least squares, and cosine series as ridges."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from rk_single_layer_transformer import cosines, feedforward, hinges
from rk_single_layer_transformer.bounds import local_lipschitz, spline_error
from rk_single_layer_transformer.construction import Construction, Settings
from rk_single_layer_transformer.feedforward import FeedForward, RidgeSplines
from rk_single_layer_transformer.functions import FUNCTIONS, max_sin, running_mean, sort
from rk_single_layer_transformer.model import SingleLayerTransformer
from rk_single_layer_transformer.naive import expanded, series
from rk_single_layer_transformer.sequences import ContinuousSequences
from rk_single_layer_transformer.slots import Slots


def box(m: int, low: float = 0.0, high: float = 1.0):
    return torch.full((m,), low, dtype=torch.float64), torch.full((m,), high, dtype=torch.float64)


def construct(function: str, settings: Settings, n: int = 2, attention: bool = True, samples: int = 1000):
    """The construction of a function of the plugin, with its data."""
    data = ContinuousSequences(seed=0, function=function, num_steps=n, train_samples=samples)
    model = SingleLayerTransformer(num_features=1, num_outputs=1, num_steps=n, attention=attention, ffn_width=1)
    found = Construction(model, settings, data.domain)
    batch = data.batch("train", 0)
    found.write(batch["inputs"].double(), batch["targets"].double(), data.map)
    return found, data


def error(found: Construction, data: ContinuousSequences) -> torch.Tensor:
    """Absolute errors on the data's grid."""
    inputs, targets = data.points()
    with torch.no_grad():
        return (found.model(inputs=inputs)["values"] - targets).abs()


# -- least squares -----------------------------------------------------------------------------------------------------


def test_units_of_a_position_are_silent_on_all_others():
    found, _ = construct("sort", Settings(width=40), n=3)
    x = torch.rand(500, 3, 1, dtype=torch.float64)
    x[:8] = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 3).view(8, 3, 1)
    hidden = found.model.ffn.hidden(found.model.mixed(x)).detach().relu().view(500, 3, 3, -1)
    for i in range(3):
        for j in range(3):
            assert (float(hidden[:, i, j].abs().max()) > 0.1) if i == j else not bool((hidden[:, i, j] > 1e-15).any())


def test_a_gate_that_is_too_weak_is_noticed(plant):
    plant(hinges.Hinges, "bound", "+ self.biases", "+ 0.5 * self.biases")
    with pytest.raises(AssertionError):
        test_units_of_a_position_are_silent_on_all_others()


def test_on_its_own_position_a_gated_unit_is_the_plain_one():
    z = torch.rand(20, 3, dtype=torch.float64)
    slots = Slots(num_features=1, num_steps=3)
    units = hinges.random_hinges(z, box(3), 10, 0)
    readout = torch.randn(14, 2, dtype=torch.float64)
    ffn = FeedForward(slots.width, 3 * 14, 2).double()
    for i in range(3):
        hinges.write_gated(ffn, slots, i, units, (i + 1) * readout, box(3))
    stream = torch.zeros(20, 3, slots.width, dtype=torch.float64)
    stream[..., slots.positions] = torch.eye(3, dtype=torch.float64)
    stream[..., slots.z] = z.unsqueeze(1)
    for i in range(3):
        torch.testing.assert_close(ffn(stream)[:, i], units(z) @ readout * (i + 1))


def test_hinges_go_through_samples_and_their_directions_are_unit_vectors():
    z = torch.rand(30, 4, dtype=torch.float64)
    units = hinges.random_hinges(z, box(4), 50, 1)
    torch.testing.assert_close(units.weights[:50].norm(dim=1), torch.ones(50, dtype=torch.float64))
    closest = (z @ units.weights[:50].T + units.biases[:50]).abs().amin(0)
    assert float(closest.max()) < 1e-12


def test_a_linear_map_needs_no_hinge():
    found, data = construct("running-mean", Settings(width=0, beta=40.0))
    assert float(error(found, data).max()) < 1e-6


@pytest.mark.parametrize("ridge", [0.0, 1e-3])
def test_least_squares_are_those_of_numpy(ridge):
    random = torch.Generator().manual_seed(0)
    features, targets = (torch.randn(40, k, generator=random, dtype=torch.float64) for k in (7, 2))
    found = hinges.least_squares(features, targets, ridge)
    rows = np.concatenate([features, np.eye(7) * (ridge * 40) ** 0.5])
    expected = np.linalg.lstsq(rows, np.concatenate([targets, np.zeros((7, 2))]), rcond=None)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)


def test_least_squares_of_equal_columns_have_a_finite_answer():
    column = torch.rand(20, 1, dtype=torch.float64)
    for ridge in (0.0, 1e-9):
        found = hinges.least_squares(column.expand(-1, 3).contiguous(), 3 * column, ridge)
        torch.testing.assert_close(found, torch.ones(3, 1, dtype=torch.float64), rtol=1e-4, atol=1e-4)


# -- cosine series -----------------------------------------------------------------------------------------------------


def test_coefficients_are_a_discrete_cosine_transform():
    fft = pytest.importorskip("scipy.fft")
    found = cosines.cosine_coefficients(max_sin, (2, 1), 5, box(2))
    axis = (np.arange(64) + 0.5) / 64
    grid = torch.from_numpy(np.stack(np.meshgrid(axis, axis, indexing="ij"), -1)).view(-1, 2, 1)
    values = max_sin(grid).view(64, 64, 2).numpy()
    plain = fft.dctn(values, axes=(0, 1))[:6, :6] / 64**2
    plain[0] /= 2
    plain[:, 0] /= 2
    np.testing.assert_allclose(found[..., 0], plain, atol=1e-12)


def test_axes_keep_their_order_in_three_dimensions():
    def one_axis_each(x):
        return torch.stack([torch.cos(math.pi * (i + 1) * x[:, i]) for i in range(3)], 1)

    found = cosines.cosine_coefficients(one_axis_each, (3, 1), 3, box(3))[..., 0]
    for i, place in enumerate([(1, 0, 0), (0, 2, 0), (0, 0, 3)]):
        expected = torch.zeros(4, 4, 4, dtype=torch.float64)
        expected[place] = 1
        torch.testing.assert_close(found[..., i], expected, atol=1e-12, rtol=0)


def splines(n: int, modes: int, spacing: float, low: float = 0.0, high: float = 1.0):
    """A series with random coefficients, and the network of it."""
    slots = Slots(num_features=1, num_steps=n)
    random = torch.Generator().manual_seed(2)
    coefficients = torch.randn(*[modes + 1] * n, n, 1, generator=random, dtype=torch.float64)
    ridges = cosines.count_ridges(modes, n)
    ffn = RidgeSplines(slots.width, n, 1, slots.z, slots.positions, ridges).double()
    cosines.write_series(ffn, coefficients, spacing, box(n, low, high))
    return ffn, coefficients, slots


def stream_of(z: torch.Tensor, slots: Slots) -> torch.Tensor:
    n = slots.num_steps
    stream = torch.zeros(len(z), n, slots.width, dtype=torch.float64)
    stream[..., slots.positions] = torch.eye(n, dtype=torch.float64)
    stream[..., slots.z] = z.unsqueeze(1)
    return stream


@pytest.mark.parametrize(("n", "modes"), [(2, 3), (3, 2)])
def test_products_of_cosines_are_sums_of_ridges(n, modes):
    ffn, coefficients, slots = splines(n, modes, 0.001, low=-1.0, high=3.0)
    z = -1 + 4 * torch.rand(5, n, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    found = ffn(stream_of(z, slots))
    for row, point in enumerate(z):
        torch.testing.assert_close(found[row], series(coefficients, (point + 1) / 4), atol=2e-4, rtol=0)


def test_a_wrong_sign_in_a_product_is_noticed(plant):
    plant(cosines, "ridges_of", "(k, -k)", "(k, k)")
    with pytest.raises(AssertionError):
        test_products_of_cosines_are_sums_of_ridges(2, 3)


def test_ridge_by_ridge_is_the_dense_network():
    ffn, _, slots = splines(2, 3, 0.2)
    dense = expanded(ffn, bounds=20.0)
    z = torch.rand(200, 2, dtype=torch.float64)
    z[:3] = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.5, 0.25]])
    stream = stream_of(z, slots)
    assert len(dense.hidden.bias) == ffn.width
    torch.testing.assert_close(ffn(stream), dense(stream), atol=1e-11, rtol=0)


def test_a_knot_that_is_off_is_noticed(plant):
    plant(feedforward.RidgeSplines, "interpolate", "(below + 1)", "(below + 2)")
    with pytest.raises(AssertionError):
        test_ridge_by_ridge_is_the_dense_network()


def test_answers_do_not_depend_on_how_many_rows_are_held_at_once(monkeypatch):
    ffn, _, slots = splines(2, 3, 0.2)
    stream = stream_of(torch.rand(50, 2, dtype=torch.float64), slots)
    whole = ffn(stream)
    monkeypatch.setattr(feedforward, "ROWS", 7 * len(ffn.directions))
    torch.testing.assert_close(ffn(stream), whole, atol=1e-13, rtol=0)


def test_a_cosine_is_interpolated_within_its_bound_and_nearly_reaches_it():
    ffn, _, _ = splines(2, 1, 0.25)
    ffn.coefficients.zero_()
    ffn.coefficients[0] = 1
    s = torch.linspace(0, 1, 1001, dtype=torch.float64).unsqueeze(1).expand(-1, len(ffn.directions))
    worst = float((ffn.interpolate(s)[:, 0] - torch.cos(math.pi * s[:, 0])).abs().max())
    assert 0.9 * spline_error(ffn) < worst <= spline_error(ffn) == pytest.approx(math.pi**2 * 0.25**2 / 8)


@pytest.mark.parametrize(
    ("modes", "spacing", "beta", "sup", "rms"),
    [(2, 0.25, 6, 0.185, 0.044), (4, 0.1, 8, 0.116, 0.0204), (8, 0.05, 10, 0.0664, 0.0094)],
)
def test_the_first_numbers_of_cosine_series(modes, spacing, beta, sup, rms):
    found, data = construct("max-sin", Settings(ffn="cosine", modes=modes, hinge_spacing=spacing, beta=beta))
    errors = error(found, data)
    assert float(errors.max()) == pytest.approx(sup, rel=0.005)
    assert float(errors.square().mean().sqrt()) == pytest.approx(rms, rel=0.005)


def test_a_series_is_fitted_to_samples_where_the_function_is_not_known():
    x = torch.rand(3000, 2, dtype=torch.float64)
    exact = cosines.cosine_coefficients(lambda v: torch.cos(math.pi * v[:, :1]) + v * 0, (2, 1), 2, box(2))
    y = torch.cos(math.pi * x[:, :1]).unsqueeze(1).expand(-1, 2, 1)
    found = cosines.fitted_coefficients(x, y, 2, box(2), 1e-12)
    torch.testing.assert_close(found, exact, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("modes", "m"), [(1, 1), (2, 2), (3, 3), (2, 4)])
def test_ridges_are_counted_without_listing_them(modes, m):
    listed = sum(len(cosines.ridges_of(k)) for k in cosines.frequencies(modes, m))
    assert cosines.count_ridges(modes, m) == listed


# -- bounds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [2.0, 5.0, 14.0])
@pytest.mark.parametrize("function", ["max-sin", "equivariant"])
@pytest.mark.parametrize("ffn", ["lstsq", "cosine"])
def test_no_error_on_the_grid_exceeds_the_predicted_bound(ffn, function, beta):
    found, data = construct(function, Settings(ffn=ffn, width=30, modes=3, hinge_spacing=0.1, beta=beta))
    promised = found.promise(*data.points())
    assert float(error(found, data).max()) <= promised["error-bound"] * (1 + 1e-9)
    assert promised["copy-error"] == pytest.approx(promised["copy-bound"], rel=1e-9)
    assert promised["error-bound"] == pytest.approx(
        promised["ffn-error"] + promised["lipschitz"] * promised["copy-bound"]
    )


def test_a_bound_that_forgets_units_whose_sign_is_not_certain_is_noticed():
    """A kink within the radius: the slope on one side alone would be 0."""
    ffn = FeedForward(1, 1, 1).double()
    with torch.no_grad():
        ffn.hidden.weight.fill_(2.0)
        ffn.hidden.bias.fill_(-0.1)
        ffn.out.weight.fill_(3.0)
    at = torch.zeros(1, 1, dtype=torch.float64)
    assert local_lipschitz(ffn, at, slice(0, 1), 0.01) == 0.0
    assert local_lipschitz(ffn, at, slice(0, 1), 0.06) == pytest.approx(6.0)
    assert local_lipschitz(ffn, at + 1, slice(0, 1), 0.01) == pytest.approx(6.0)


def test_wider_networks_have_smaller_errors():
    found = [
        float(error(*construct("max-sin", Settings(width=width, beta=14.0), samples=2000)).square().mean().sqrt())
        for width in (16, 64, 256)
    ]
    assert found[0] > 2 * found[1] > 4 * found[2] and found[2] < 0.01


def test_without_attention_the_error_stays_and_a_tokenwise_function_does_not_mind():
    settings = Settings(width=64)
    assert float(error(*construct("max-sin", settings, attention=False)).square().mean().sqrt()) > 0.15
    assert float(error(*construct("tokenwise", settings, attention=False)).max()) < 0.05


def test_the_functions_are_what_their_names_are():
    x = torch.tensor([[[0.5], [0.2], [0.8]]], dtype=torch.float64)
    assert sort(x).flatten().tolist() == [0.2, 0.5, 0.8]
    assert running_mean(x).flatten().tolist() == pytest.approx([0.5, 0.35, 0.5])
    assert FUNCTIONS["equivariant"](x).flatten().tolist() == pytest.approx([0.25, 0.1, 0.4])
    assert FUNCTIONS["tokenwise"](x).flatten().tolist() == pytest.approx(
        [math.sin(2 * math.pi * v) for v in x.flatten()]
    )
    assert max_sin(x[:, :2]).flatten().tolist() == pytest.approx([0.5, 0.5 * math.sin(0.6)])
