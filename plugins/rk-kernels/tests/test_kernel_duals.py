"""Duals of activations: against numbers, quadrature, Price's theorem and wide random layers."""

from __future__ import annotations

import math

import pytest
import torch
from rk_kernels.activations import dual_of
from rk_kernels.depth import depth_map, log_depth_map, moments
from rk_kernels.duals import Cos, Erf, Gelu, LeakyRelu, Linear, Relu, Sin
from rk_kernels.functions import function_of, hermite_function
from rk_kernels.series import Hermite, Numerical, gauss_hermite, hermite_coefficients

Q11, Q12, Q22 = (torch.tensor(q, dtype=torch.float64) for q in (1.3, 0.5, 0.7))
SMOOTH = {
    "erf": (Erf(), torch.erf),
    "gelu": (Gelu(), torch.nn.functional.gelu),
    "sin": (Sin(), torch.sin),
    "cos": (Cos(), torch.cos),
    "linear": (Linear(), lambda z: z),
}
KINKED = {
    "relu": (Relu(), torch.relu),
    "leaky-relu": (LeakyRelu(0.2), lambda z: torch.nn.functional.leaky_relu(z, 0.2)),
    "absolute": (LeakyRelu(-1.0), torch.abs),
}
ALL = SMOOTH | KINKED


@pytest.mark.parametrize(
    ("dual", "expected"),
    [(Gelu(), 0.2215259725), (Erf(), 0.2209942285), (Sin(), 0.1917002498), (LeakyRelu(0.2), 0.2908490)],
    ids=["gelu", "erf", "sin", "leaky-relu"],
)
def test_a_dual_has_the_value_that_quadrature_gives(dual, expected):
    assert float(dual.pair(Q11, Q12, Q22)[0]) == pytest.approx(expected, abs=5e-8)


@pytest.mark.parametrize("name", SMOOTH)
def test_quadrature_of_a_smooth_function_agrees_to_eight_digits(name):
    dual, function = SMOOTH[name]
    for found, expected in zip(Numerical(function).pair(Q11, Q12, Q22), dual.pair(Q11, Q12, Q22), strict=True):
        assert float(found) == pytest.approx(float(expected), abs=1e-8)
    numerical, closed = Numerical(function).diagonal(Q11), dual.diagonal(Q11)
    assert [float(t) for t in numerical] == pytest.approx([float(t) for t in closed], abs=1e-8)


@pytest.mark.parametrize("name", KINKED)
def test_quadrature_of_a_kink_agrees_to_a_few_thousandths(name):
    dual, function = KINKED[name]
    found, expected = (d.pair(Q11, Q12, Q22)[0] for d in (Numerical(function), dual))
    assert float(found) == pytest.approx(float(expected), abs=3e-3)


@pytest.mark.parametrize("name", ALL)
def test_the_derivative_of_a_dual_is_its_slope(name):
    """Price's theorem."""
    q12 = torch.linspace(-0.9, 0.9, 13, dtype=torch.float64, requires_grad=True)
    value, slope = ALL[name][0].pair(Q11, q12, Q22)
    (found,) = torch.autograd.grad(value.sum(), q12)
    torch.testing.assert_close(found, slope.detach(), atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", ALL)
def test_the_diagonal_is_what_the_pair_gives_for_equal_inputs(name):
    q = torch.tensor([0.01, 0.3, 1.0, 7.0], dtype=torch.float64)
    for found, expected in zip(ALL[name][0].diagonal(q), ALL[name][0].pair(q, q, q), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-14, rtol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_a_wide_random_layer_has_these_covariances(name):
    dual, function = ALL[name]
    noise = torch.randn(2, 400_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u = Q11.sqrt() * noise[0]
    v = Q12 / Q11.sqrt() * noise[0] + (Q22 - Q12.square() / Q11).sqrt() * noise[1]
    products = function(u) * function(v)
    error = float(products.std()) / math.sqrt(products.numel())
    assert float(products.mean()) == pytest.approx(float(dual.pair(Q11, Q12, Q22)[0]), abs=4 * error)


def test_equal_inputs_give_finite_gradients_where_the_angle_is_zero():
    q = torch.tensor([0.4, 1.0], dtype=torch.float64, requires_grad=True)
    value, slope = Relu().pair(q, q, q)
    (gradient,) = torch.autograd.grad(value.sum() + slope.sum(), q)
    torch.testing.assert_close(gradient, torch.full_like(q, 0.5).detach())


def test_large_variances_overflow_nowhere():
    q = torch.tensor(2000.0, dtype=torch.float64)
    for dual in (Sin(), Cos(), Erf(), Gelu(), Relu()):
        assert all(t.isfinite() for t in dual.pair(q, 0.99 * q, q))


def test_an_activation_of_a_recipe_without_closed_form_is_integrated():
    x, w = gauss_hermite(200)
    assert float(dual_of("tanh").diagonal(torch.ones(()).double())[0]) == pytest.approx(
        float((w * torch.tanh(x) ** 2).sum()), abs=1e-8
    )


def test_a_polynomials_series_is_its_dual():
    c = torch.linspace(-1, 1, 9, dtype=torch.float64)
    one = torch.ones((), dtype=torch.float64)
    coefficients = hermite_coefficients(lambda z: z**3 - z + 0.5, 3, nodes=20)
    series = Hermite(coefficients)
    numerical = Numerical(lambda z: z**3 - z + 0.5, nodes=30)
    for found, expected in zip(series.pair(one, c, one), numerical.pair(one, c, one), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


def test_a_series_without_terms_is_refused():
    with pytest.raises(ValueError, match="zero"):
        Hermite([0.0, 0.0])


def test_depth_is_the_dual_applied_again_and_again():
    c, one = torch.tensor([-0.7, 0.2, 1.0], dtype=torch.float64), torch.ones((), dtype=torch.float64)
    dual = Relu.normalised()
    nngp = ntk = c
    for _ in range(5):
        nngp, slope = dual.pair(one, nngp, one)
        ntk = nngp + slope * ntk
    torch.testing.assert_close(depth_map(Relu(), c, 5), nngp)
    torch.testing.assert_close(depth_map(Relu(), c, 5, "ntk"), ntk)
    assert float(ntk[-1]) == pytest.approx(6), "the NTK of a unit vector with itself grows by one a layer"


def test_the_log_of_a_deep_kernel_is_known_where_the_kernel_underflows():
    square = Hermite([0.0, 0.0, 1.0])
    c = torch.tensor([0.9, -0.5, 0.3], dtype=torch.float64)
    logs, signs = log_depth_map(square, c, 100)
    torch.testing.assert_close(logs, 2.0**100 * c.abs().log())
    assert signs.tolist() == [1, 1, 1]
    assert float(depth_map(square, c, 100).abs().max()) == 0


def test_shallow_logs_are_those_of_the_map():
    odd = Hermite([0.0, 0.8, 0.0, 0.6])
    c = torch.tensor([0.9, -0.5, 0.3], dtype=torch.float64)
    logs, signs = log_depth_map(odd, c, 4)
    torch.testing.assert_close(signs * logs.exp(), depth_map(odd, c, 4))


@pytest.mark.parametrize(
    ("dual", "expected"),
    [(Erf(), (0.0, 0.91358, 1.22570)), (Sin(), (0.0, 0.85092, 1.31304)), (dual_of("tanh"), (0.0, 0.93047, 1.17781))],
    ids=["erf", "sin", "tanh"],
)
def test_the_moments_that_decide_over_depth(dual, expected):
    assert moments(dual) == pytest.approx(expected, abs=1e-5)


def test_a_function_of_hermite_coefficients_has_them():
    coefficients = [0.3, 0.0, -0.5, 0.2]
    assert hermite_coefficients(function_of(coefficients), 3) == pytest.approx(coefficients)
    with pytest.raises(ValueError, match="a Hermite coefficient at least"):
        hermite_function([])
