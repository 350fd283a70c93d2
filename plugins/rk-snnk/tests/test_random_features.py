"""Random features: each against the complex sums of the paper, and what their means and errors are."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from rk_snnk.bundle import Snnk, bundled, new_bundle
from rk_snnk.estimation import arc_cosine
from rk_snnk.features import ReluFeatures, TrigFeatures, projections
from rk_snnk.model import SnnkMLP
from rk_snnk.naive import naive_relu, naive_stack, naive_universal
from torch import nn

from rk.testing import assert_twins


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def vectors(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) / shape[-1] ** 0.5


# -- one layer of features ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damping", [0.0, 0.2])
@pytest.mark.parametrize("activation", ["cos", "sin"])
def test_real_pairs_are_the_complex_numbers_of_the_paper(activation, damping):
    features = TrigFeatures(in_features=3, random_features=7, activation=activation, damping=damping).double()
    draws = features.projection / math.sqrt(1 + 4 * damping)
    x, w, b = vectors(4, 3), vectors(2, 3, seed=2), torch.tensor([0.3, -1.1]).double()
    found = features(x) @ features.of_weights(w, b).T
    for i, row in enumerate(x):
        for j, weight in enumerate(w):
            expected = naive_universal(row, weight, float(b[j]), draws, activation, damping)
            assert expected.imag == pytest.approx(0, abs=1e-12)
            assert float(found[i, j]) == pytest.approx(expected.real, rel=1e-4)


def test_relu_features_are_a_mean_over_projections():
    features = ReluFeatures(in_features=3, random_features=7).double()
    x, w = vectors(4, 3), vectors(2, 3, seed=2)
    expected = [[naive_relu(row, weight, features.projection) for weight in w] for row in x]
    torch.testing.assert_close(features(x) @ features.of_weights(w).T, torch.tensor(expected).double())


@pytest.mark.parametrize(
    ("activation", "settings"),
    [("cos", {}), ("sin", {"orthogonal": True}), ("cos", {"damping": 0.05, "scale": 0.7}), ("sin", {"damping": 0.1})],
)
def test_the_mean_is_the_activation(activation, settings):
    features = TrigFeatures(in_features=4, random_features=100_000, activation=activation, **settings)
    x, w = (0.8 * nn.functional.normalize(vectors(n, 4, seed=n)).float() for n in (5, 3))
    b = torch.tensor([0.0, 0.5, -2.0])
    expected = getattr(torch, activation)(x @ w.T + b)
    torch.testing.assert_close(features(x) @ features.of_weights(w, b).T, expected, atol=0.03, rtol=0)


def test_the_mean_of_relu_features_is_the_arc_cosine_kernel_and_not_relu():
    features = ReluFeatures(in_features=4, random_features=200_000)
    x, w = vectors(5, 4).float(), vectors(3, 4, seed=2).float()
    expected = arc_cosine(x[:, None], w)
    found = features(x) @ features.of_weights(w).T
    torch.testing.assert_close(found, expected, atol=0.01, rtol=0)
    assert float((found - (x @ w.T).relu()).abs().max()) > 0.05


def test_a_constant_gives_relu_features_a_place_for_the_bias():
    plain, constant = (ReluFeatures(in_features=n, random_features=9, constant=n == 3) for n in (4, 3))
    plain.load_state_dict(constant.state_dict())
    x, w, b = torch.randn(5, 3), torch.randn(2, 3), torch.randn(2)
    torch.testing.assert_close(constant(x), plain(torch.cat([x, torch.ones(5, 1)], 1)))
    torch.testing.assert_close(constant.of_weights(w, b), plain.of_weights(torch.cat([w, b[:, None]], 1)))


def error(m: int, draws: int = 200, **settings) -> float:
    """The root mean square error of cos(0.9) for unit vectors of two numbers: the setting of the theory."""
    x = torch.tensor([[1.0, 0.0]])
    w = torch.tensor([[0.9, math.sqrt(1 - 0.81)]])
    errors = []
    for _ in range(draws):
        features = TrigFeatures(in_features=2, random_features=m, **settings)
        errors.append(float(features(x) @ features.of_weights(w).T) - math.cos(0.9))
    return torch.tensor(errors).square().mean().sqrt().item()


def test_the_error_falls_with_the_root_of_the_number_of_features():
    assert 0.03 <= error(1024) <= 0.08
    assert 3 <= error(256) / error(4096) <= 5.3


def test_damping_lowers_the_error_of_the_cosine():
    assert error(256, damping=0.1) < error(256)


def test_normalised_inputs_have_the_norm_of_the_scale_along_the_last_axis():
    features = TrigFeatures(in_features=6, normalize=True, scale=0.5)
    x = torch.randn(2, 3, 6)
    torch.testing.assert_close(features.scaled(x).norm(dim=-1), torch.full((2, 3), 0.5))
    torch.testing.assert_close(features(x), features(7 * x))


@pytest.mark.parametrize("rows", [3, 5, 11])
def test_orthogonal_vectors_are_so_in_blocks_and_have_the_norms_of_free_ones(rows):
    found = projections(rows, 5, orthogonal=True)
    for block in found.split(5):
        products = block @ block.T
        torch.testing.assert_close(products, products.diag().diag(), atol=1e-4, rtol=0)
    norms = projections(5000, 5, orthogonal=True).square().sum(1)
    assert float(norms.mean()) == pytest.approx(5, abs=0.2) and float(norms.var()) == pytest.approx(10, rel=0.15)


def test_building_a_layer_leaves_its_features_alone_when_it_answers():
    features = ReluFeatures(in_features=6)
    state, before = torch.get_rng_state(), features.projection.clone()
    features(torch.ones(2, 6))
    assert torch.equal(torch.get_rng_state(), state) and torch.equal(features.projection, before)
    assert not list(features.parameters())


# -- bundles -----------------------------------------------------------------------------------------------------------


def test_a_bundle_is_the_stack_that_it_replaces():
    """W_2 (Psi_1 Phi_1(x)) = (W_2 Psi_1) Phi_1(x); then Psi_2 . Phi_2 of both."""
    first, second = TrigFeatures(in_features=4, random_features=40), ReluFeatures(in_features=80, random_features=20)
    first, second = first.double(), second.double()
    w1, w2, x = vectors(6, 4), vectors(3, 6, seed=2), vectors(5, 4, seed=3)
    psi1 = first.of_weights(w1)
    layer = Snnk([first, second], [(w1, None), (w2, None)]).double()
    for row in x:
        hidden = naive_stack(row, [(first, lambda unit: first.of_weights(unit[None])[0], w1)])
        torch.testing.assert_close((w2 @ psi1) @ first(row), w2 @ hidden)  # what is stored, against what it replaces
        tower = [(lambda y: second(first(y)), lambda unit: second.of_weights((unit @ psi1)[None])[0], w2)]
        torch.testing.assert_close(layer(row[None])[0], naive_stack(row, tower))


def test_a_layer_and_its_twin_learn_alike():
    features = ReluFeatures(in_features=4, random_features=8).double()

    def fast(x, weight):
        return torch.func.functional_call(layer, {"weight": weight}, (x,))

    def naive(x, weight):
        images = [(features.projection @ row).clamp(min=0) / math.sqrt(8) for row in x]
        return torch.stack([torch.stack([(v * image).sum() for v in weight]) for image in images])

    layer = Snnk([features], [(vectors(3, 4), None)])
    assert_twins(fast, naive, vectors(5, 4, seed=2), vectors(3, 8, seed=3))


def test_many_features_of_two_bundled_cosines_are_the_network():
    torch.manual_seed(3)
    first = TrigFeatures(in_features=3, random_features=4000)
    second = TrigFeatures(in_features=8000, random_features=4000)
    w1, b1, w2 = vectors(5, 3).float(), torch.tensor([0.1, -0.4, 1.0, 0.0, 0.3]), 0.5 * vectors(4, 5, seed=2).float()
    x = 0.7 * vectors(6, 3, seed=3).float()
    layer = Snnk([first, second], [(w1, b1), (w2, None)])
    torch.testing.assert_close(layer(x).detach(), ((x @ w1.T + b1).cos() @ w2.T).cos(), atol=0.15, rtol=0)


def test_an_empty_bundle_is_refused():
    with pytest.raises(ValueError, match="one layer at least"):
        bundled([], [])


@pytest.mark.parametrize(
    ("bundle", "shapes"),
    [
        ("none", {"blocks.0.weight": (16, 9), "blocks.1.weight": (16, 9), "blocks.2.weight": (16, 9), "head": (10, 9)}),
        ("pairwise", {"blocks.0.weight": (16, 9), "head": (10, 9)}),
        ("full", {"head": (10, 9)}),
    ],
)
def test_what_is_trained_depends_on_the_bundle(bundle, shapes):
    features = functools.partial(ReluFeatures, random_features=9)
    model = SnnkMLP(64, 10, features, num_layers=4, hidden_size=16, bundle=bundle)
    assert {n.removesuffix(".weight") if n.startswith("head") else n: tuple(p.shape)
            for n, p in model.named_parameters()} == shapes  # fmt: skip
    x = torch.rand(5, 8, 8)
    hidden, _ = model.enter(inputs=x)
    for block in model.blocks:
        hidden = block(hidden)
    torch.testing.assert_close(model.leave(hidden)["logits"], model(inputs=x)["logits"])


def test_without_layers_the_model_is_linear():
    model = SnnkMLP(64, 10, ReluFeatures, num_layers=0, bias=True)
    x = torch.rand(5, 8, 8)
    torch.testing.assert_close(model(inputs=x)["logits"], nn.functional.linear(x.flatten(1), *model.head.parameters()))


def test_a_new_layer_begins_as_the_kernel_of_new_weights():
    layer = new_bundle(functools.partial(TrigFeatures, random_features=20000), [5, 4])
    assert layer.weight.shape == (4, 40000)
    x = torch.rand(50, 5)
    assert float(layer(x).detach().abs().max()) < 1.1  # cosines
