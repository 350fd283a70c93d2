"""The recursions against quadrature by scipy, finite differences, and random networks."""

from __future__ import annotations

import math

import pytest
import torch
from rk_criticality.activations import FUNCTIONS, dual_of, recognised, slope
from rk_criticality.ledger import Activation
from rk_criticality.simulate import Network, measure, tangent_kernels, with_weights
from rk_criticality.theory import Moments, contributions, cosines, critical, flow, next_order, rates, residual_gain
from scipy.integrate import quad

SMOOTH_AND_KINKED = ("tanh", "gelu", "relu", "selu")


def naive_mean(function, k):
    """<function>_K by adaptive quadrature, on each side of 0."""

    def integrand(z):
        value = float(function(torch.tensor(z, dtype=torch.float64)))
        return value * math.exp(-z * z / (2 * k)) / math.sqrt(2 * math.pi * k)

    far = 12 * math.sqrt(k)
    return sum(quad(integrand, *side, epsabs=1e-12, epsrel=1e-11, limit=200)[0] for side in ((-far, 0), (0, far)))


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", SMOOTH_AND_KINKED)
def test_the_moments_are_those_of_adaptive_quadrature(name):
    m, sigma, k = Moments(name), FUNCTIONS[name], 1.7
    assert m.g(k) == pytest.approx(naive_mean(lambda z: sigma(z) ** 2, k), rel=1e-9)
    assert m.slopes(k) == pytest.approx(naive_mean(lambda z: slope(name, z.reshape(1)) ** 2, k), rel=1e-9)
    assert m.skew(k) == pytest.approx(naive_mean(lambda z: z * sigma(z) ** 2, k), rel=1e-9, abs=1e-9)
    assert m.spread(k) == pytest.approx(naive_mean(lambda z: sigma(z) ** 4, k) - m.g(k) ** 2, rel=1e-9)


@pytest.mark.parametrize("name", SMOOTH_AND_KINKED)
def test_the_derivatives_by_the_kernel_are_those_of_finite_differences(name):
    m, k, d = Moments(name), 1.3, 1e-4
    for order in range(4):
        change = (m.g(k + d, order) - m.g(k - d, order)) / (2 * d)
        assert m.g(k, order + 1) == pytest.approx(change, rel=1e-5, abs=1e-6)
    for order in range(2):
        change = (m.spread(k + d, order) - m.spread(k - d, order)) / (2 * d)
        assert m.spread(k, order + 1) == pytest.approx(change, rel=1e-5, abs=1e-6)
    assert m.h(k) == pytest.approx((m.slopes(k + d) - m.slopes(k - d)) / (4 * d), rel=1e-5, abs=1e-7)
    first = [m.skew(x) / x for x in (k - d, k + d)]  # <(sigma^2)'>, whose derivative is half of <(sigma^2)'''>
    assert m.bend(k) == pytest.approx((first[1] - first[0]) / d, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize(
    ("name", "kind", "c_b", "c_w", "k"),
    [
        ("linear", "scale-invariant", 0, 1, 1),
        ("relu", "scale-invariant", 0, 2, 1),
        ("leaky-relu", "scale-invariant", 0, 1.99980002, 1),
        ("tanh", "zero", 0, 1, 0),
        ("sin", "zero", 0, 1, 0),
        ("erf", "zero", 0, 1, 0),
        ("gelu", "half-stable", 0.17292239, 1.98305826, (3 + math.sqrt(17)) / 2),
        ("silu", "half-stable", 0.55514317, 1.98800468, 14.32017362),
        ("mish", "half-stable", 0.0945218, 2.0135241, 1.6701691),
    ],
)
def test_the_critical_points_are_those_of_the_book(name, kind, c_b, c_w, k):
    found = critical(name)
    assert found.kind == kind
    assert (found.c_b, found.c_w, found.k) == pytest.approx((c_b, c_w, k), abs=2e-6, rel=1e-6)


@pytest.mark.parametrize("name", ["sigmoid", "softplus"])
def test_an_activation_without_a_critical_point_has_none(name):
    assert critical(name).kind == "none"
    with pytest.raises(ValueError, match="no critical point"):
        Activation(name)


def test_the_non_gaussianity_and_the_best_ratio_are_those_of_the_book():
    assert [critical(n).nu for n in ("linear", "relu", "tanh")] == pytest.approx([2, 5, 2 / 3])
    assert [critical(n).best_ratio() for n in ("relu", "tanh")] == pytest.approx([0.035, 0.26], abs=1e-3)
    assert [critical(n).best_ratio(10) for n in ("relu", "tanh")] == pytest.approx([0.016, 0.12], abs=1e-3)


def test_the_kernel_of_tanh_falls_as_one_over_twice_the_depth():
    assert flow("tanh", 0, 1, 1.0, 800, 1)[-1].k * 2 * 800 == pytest.approx(1, rel=0.02)


def test_a_small_distance_grows_by_chi_perp_and_bends_by_the_square_of_the_difference_of_norms():
    k0, k1, k2, c_w = 1.3, 1e-3, 2e-6, 1.4
    m, dual = Moments("gelu"), dual_of("gelu")
    up, down, across = (torch.tensor(x, dtype=torch.float64) for x in (k0 + k1 + k2, k0 - k1 + k2, k0 - k2))
    new = [float(c_w * dual.pair(a, b, c)[0]) for a, b, c in ((up, up, up), (down, down, down), (up, across, down))]
    assert (new[0] - new[1]) / 2 == pytest.approx(c_w * m.g(k0, 1) * k1, rel=1e-3)
    assert (new[0] + new[1] - 2 * new[2]) / 4 == pytest.approx(c_w * (m.slopes(k0) * k2 + m.h(k0) * k1**2), rel=1e-3)


@pytest.mark.parametrize(("name", "gamma"), [("relu", 0.0), ("tanh", 0.0), ("relu", 0.7)])
def test_random_networks_follow_the_recursions(name, gamma):
    point = residual_gain(name, gamma) if gamma else critical(name)
    net = Network(name, point.c_b, point.c_w, 200, 5, gamma)
    found = measure(net, 1.0, 0.5, 6000, random(1))
    angles = cosines(name, net.c_b, net.c_w, 1.0, 0.5, net.depth, gamma)
    predicted = flow(name, net.c_b, net.c_w, 1.0, net.depth, net.width, gamma)
    for layer, (p, q, angle) in enumerate(zip(predicted, found, angles, strict=True), 1):
        v = (1 + 5 / 200) ** (layer - 1) - 1 if name == "relu" and not gamma else p.v
        assert q.mean == pytest.approx(p.mean, rel=0.01)
        assert (q.chi_par, q.chi_perp) == pytest.approx((p.chi_par, p.chi_perp), rel=0.01)
        assert q.v == pytest.approx(v, rel=0.06, abs=1e-6)
        assert q.cosine == pytest.approx(angle, abs=0.01)


def test_of_scale_invariant_activations_v_is_exact_at_any_width():
    found = next_order("relu", 0, 2, 1.0, 6, 3)
    assert found == [pytest.approx((1.0, (1 + 5 / 3) ** layer - 1), rel=1e-8) for layer in range(6)]


@pytest.mark.parametrize("name", ["gelu", "silu", "tanh"])
def test_the_next_order_differs_from_the_first_by_a_square_of_the_inverse_width(name):
    point = critical(name)
    start = name, point.c_b, point.c_w, point.k or 1.0, 10
    gaps = [next_order(*start, width)[-1][1] - flow(*start, width)[-1].v for width in (1e5, 2e5)]
    assert gaps[0] / gaps[1] == pytest.approx(4, rel=0.01)


def test_deep_gelu_networks_follow_the_next_order_where_the_first_is_a_sixth_off():
    point = critical("gelu")
    found = measure(Network("gelu", point.c_b, point.c_w, 100, 10), point.k, 0.5, 6000, random(1))[-1].v
    start = "gelu", point.c_b, point.c_w, point.k, 10, 100
    assert found == pytest.approx(next_order(*start)[-1][1], rel=0.05)
    assert found > 1.12 * flow(*start)[-1].v


def test_networks_without_weight_matrices_are_those_with_them():
    net = Network("tanh", 0.1, 1.5, 8, 3)
    zs = with_weights(net, 1.0, 20000, random())[0]
    for z, found in zip(zs, measure(net, 1.0, 0.5, 20000, random(1)), strict=True):
        q = z.square()
        pairs = (q.sum(1) - 8 * q.mean()).square() - (q - q.mean()).square().sum(1)
        assert found.mean == pytest.approx(float(q.mean()), rel=0.02)
        assert found.v == pytest.approx(float(pairs.mean()) / 56 / float(q.mean()) ** 2, abs=0.012)


def test_skips_keep_signs_so_that_relu_is_less_gaussian_than_the_book_has_it():
    point = residual_gain("relu", 0.7)
    slow = point.nu * 9 / 200
    assert flow("relu", 0, point.c_w, 1.0, 10, 200, 0.7)[-1].v > 1.8 * slow
    linear = residual_gain("linear", 0.7)  # odd: there is nothing to add
    assert flow("linear", 0, linear.c_w, 1.0, 10, 200, 0.7)[-1].v == pytest.approx(linear.nu * 9 / 200)


def test_the_tangent_kernel_is_the_sum_over_the_gradients():
    net, k = Network("gelu", 0.2, 1.9, 5, 3, gamma=0.3), 1.4
    zs, weights = with_weights(net, k, 1, random())
    sigma = FUNCTIONS["gelu"]
    biases = [zs[0][0]]
    biases += [z[0] - w[0] @ sigma(y[0]) - 0.3 * y[0] for y, z, w in zip(zs, zs[1:], weights, strict=False)]
    parameters = [p.detach().requires_grad_() for p in (*biases, *(w[0] for w in weights))]
    z = parameters[0]
    for bias, weight in zip(parameters[1:3], parameters[3:], strict=True):
        z = bias + weight @ sigma(z) + 0.3 * z
    grads = torch.autograd.grad(z[0], parameters)
    naive = grads[0].square().sum() * (1 + k) + sum(g.square().sum() for g in grads[1:3])
    naive += sum(g.square().sum() / 5 for g in grads[3:])
    assert tangent_kernels(net, k, 1, random())[-1] == pytest.approx(float(naive))


def test_the_mean_tangent_kernel_follows_its_recursion():
    net = Network("tanh", 0.0, 1.0, 100, 4)
    found = tangent_kernels(net, 1.0, 200, random())
    assert found == pytest.approx([p.theta for p in flow("tanh", 0, 1, 1.0, 4, 100, theta=2.0)], rel=0.05)


@pytest.mark.parametrize("name", ["relu", "tanh", "gelu"])
def test_with_the_rates_of_the_equivalence_principle_layers_contribute_alike_and_depth_does_not_matter(name):
    shallow, deep = (contributions(name, rates(name, depth)) for depth in (100, 200))
    assert sum(deep) == pytest.approx(sum(shallow), rel=0.02)
    assert max(deep[20:]) < 1.2 * min(deep[20:])  # the first kernels of tanh are not yet those of a deep network
    plain = contributions("tanh", [(1.0, 1.0)] * 200)[20:]
    assert max(plain) > 5 * min(plain)
    with pytest.raises(ValueError, match="no rates for elu"):
        rates("elu", 3)


def test_an_activation_is_recognised_by_its_numbers():
    z = 2 * torch.randn(4, 5, generator=random())
    for name, function in FUNCTIONS.items():
        assert recognised(z, function(z).reshape(2, 10)) == name
    assert recognised(z, z.cos()) is None and recognised(z, z[:2]) is None


def test_the_ledger_is_written_with_each_prediction_beside_its_measurement(tmp_path, capsys):
    found = Activation("gelu", width=20, depth=3, inits=200, tangents=5).analyze(tmp_path)
    assert found["c_w"] == pytest.approx(1.98305826) and found["nu"] == pytest.approx(4.9042, abs=1e-3)
    lines = (tmp_path / "ledger.csv").read_text().splitlines()
    assert lines[0] == "quantity,layer,predicted,measured,error" and len(lines) == 1 + 7 * 2
    assert (tmp_path / "ledger.png").stat().st_size > 1000
    assert "half-stable" in capsys.readouterr().out
