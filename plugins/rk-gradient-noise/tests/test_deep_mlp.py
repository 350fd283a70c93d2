"""The network of Sec. 4.1 and its starting weights."""

from __future__ import annotations

import math

import pytest
import torch
from rk_gradient_noise.ensemble import DeepMLPEnsemble
from rk_gradient_noise.model import DeepMLP

STD = {
    "simple": lambda before, after: 0.1,
    "he": lambda before, after: math.sqrt(2 / before),
    "xavier": lambda before, after: math.sqrt(2 / (before + after)),
    "sussillo": lambda before, after: math.sqrt(2 / before) * math.exp(1.2 / (before - 2.4)),
    "zero": lambda before, after: 0.0,
}


def test_it_is_twenty_layers_of_fifty_units():
    model = DeepMLP(num_features=784, num_classes=10)
    assert [tuple(layer.weight.shape) for layer in model.layers()] == [(50, 784), *[(50, 50)] * 19, (10, 50)]
    assert sum(p.numel() for p in model.parameters()) == 784 * 50 + 50 + 19 * 2550 + 510
    assert model(inputs=torch.zeros(3, 28, 28))["logits"].shape == (3, 10)


@pytest.mark.parametrize("init", STD)
def test_initial_weights_have_the_standard_deviation_of_their_source(init):
    model = DeepMLP(num_features=300, num_classes=200, num_layers=3, hidden_size=150, init=init)
    for layer in model.layers():
        expected = STD[init](layer.in_features, layer.out_features)
        assert float(layer.weight.detach().std()) == pytest.approx(expected, rel=0.03)
        assert abs(float(layer.weight.detach().mean())) <= 0.05 * expected
        assert not layer.bias.any()


@pytest.mark.parametrize("init", STD)
def test_members_start_from_the_same_distribution_and_are_not_the_same(init):
    model = DeepMLPEnsemble(num_features=300, num_classes=200, num_members=2, num_layers=3, hidden_size=150, init=init)
    for weight, bias in zip(model.weights, model.biases, strict=True):
        _, before, after = weight.shape
        assert float(weight.detach().std()) == pytest.approx(STD[init](before, after), rel=0.03)
        assert not bias.any()
        assert torch.equal(weight[0], weight[1]) == (init == "zero")


def test_twenty_layers_propagate_a_signal_with_he_weights_but_not_with_simple_ones():
    torch.manual_seed(0)
    inputs = torch.rand(500, 64)
    spread = {}
    for init in ("simple", "he", "sussillo"):
        logits = DeepMLP(64, 10, init=init)(inputs=inputs)["logits"]
        spread[init] = float(logits.detach().std(0).mean())
    assert spread["simple"] < 1e-4 * spread["he"]
    assert 0.1 < spread["sussillo"] / spread["he"] < 10


def test_from_zero_weights_only_the_last_bias_has_a_gradient():
    model = DeepMLP(num_features=8, num_classes=3, init="zero")
    loss = torch.nn.functional.cross_entropy(model(inputs=torch.rand(6, 8))["logits"], torch.tensor([0, 0, 0, 1, 1, 2]))
    loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad.any()] == ["head.bias"]


def test_a_local_trainer_can_call_the_blocks_one_by_one():
    model = DeepMLP(num_features=8, num_classes=3, num_layers=4, activation="tanh", init="xavier")
    hidden = inputs = torch.rand(5, 8)
    for block in model.blocks:
        hidden = block(hidden)
    torch.testing.assert_close(model.head(hidden), model(inputs=inputs)["logits"])
