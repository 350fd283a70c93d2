"""Learning rates by layer, and the best depth / width."""

from __future__ import annotations

import csv

import pytest
import torch
from rk_criticality.aspect_ratio import AspectRatio, fitting_width
from rk_criticality.initial import draw
from rk_criticality.layer_rates import LayerRates, groups
from rk_criticality.theory import contributions, critical, rates
from torch import nn

from rk import UserError
from rk.builtin.mlp import MLP
from rk.builtin.optimizers import SGD
from rk.training import train_inside

RECIPE = """
rk: 1
model: {{name: mlp, hidden_sizes: [16, 16], activation: {activation}}}
data: {{name: sine-classes, train_size: 60, test_size: 20}}
loss: cross-entropy
trainer: {{name: backprop, optimizer: {optimizer}}}
callbacks: [critical-init]
fit: {{max_steps: 4, validate_every: 2, seed: 3, threads: 1}}
"""
BY_LAYER = "{name: layer-rates, activation: tanh, base: {name: sgd, lr: 0.5, momentum: 0.9}}"


def layer_sums(name, widths, inits, scaled):
    """What each layer adds to the tangent kernel of the outputs, from gradients of real networks."""
    point, random = critical(name), torch.Generator().manual_seed(0)
    x = torch.ones(1, 20) * ((point.k or 1.0) - point.c_b) ** 0.5 / point.c_w**0.5
    sums = torch.zeros(len(widths) + 1)
    for _ in range(inits):
        net = MLP(20, 10, widths, name)
        for layer in (m for m in net.modules() if isinstance(m, nn.Linear)):
            draw(layer, point.c_w, point.c_b, random)
        by_tensor = {id(g["params"][0]): g["lr_scale"] for g in groups(net.parameters(), name)}
        parameters = list(net.parameters())
        for output in net(inputs=x)["logits"].flatten():
            grads = torch.autograd.grad(output, parameters, retain_graph=True)
            for i, (p, g) in enumerate(zip(parameters, grads, strict=True)):
                plain = 1.0 if p.ndim == 1 else 1.0 / p.shape[1]
                sums[i // 2] += g.square().sum() * (by_tensor[id(p)] if scaled else plain) / (10 * inits)
    return sums.tolist()


@pytest.mark.parametrize("name", ["tanh", "relu", "gelu"])
def test_all_layers_of_real_networks_of_any_widths_contribute_to_the_tangent_kernel_as_predicted(name):
    widths = [150, 100] * 6
    found = layer_sums(name, widths, 12, scaled=True)
    assert found == pytest.approx(contributions(name, rates(name, 13)), rel=0.35)
    assert max(found[3:]) < 1.6 * min(found[3:])


def test_without_the_rates_the_layers_of_tanh_networks_do_not_contribute_alike():
    plain = layer_sums("tanh", [100] * 12, 12, scaled=False)
    assert plain == pytest.approx(contributions("tanh", [(1.0, 1.0)] * 13), rel=0.35)
    assert max(plain[3:]) > 2.5 * min(plain[3:])


def test_a_rate_is_multiplied_by_lambda_and_a_weights_by_one_over_its_fan_in():
    net = nn.Sequential(nn.Conv1d(4, 6, 5), nn.Linear(6, 3, bias=False), nn.Linear(3, 2))
    assert [g["lr_scale"] for g in groups(net.parameters(), "tanh")] == [1 / 20, 1, 1 / 6, 1 / 3, 1 / 3]
    assert [g["lr_scale"] for g in groups(net.parameters(), "relu")] == pytest.approx(
        [1 / 60, 1 / 3, 1 / 18, 1 / 9, 1 / 3]
    )


def test_weights_that_are_not_those_of_layers_are_refused_and_activations_without_rates():
    norm = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    with pytest.raises(UserError, match=r"shape \(4,\) is neither"):
        groups(norm.parameters(), "tanh")
    with pytest.raises(UserError, match="rate or a decay of their own"):
        groups([{"params": list(norm.parameters())}], "tanh")
    with pytest.raises(ValueError, match="no rates for sigmoid"):
        LayerRates(SGD(lr=0.1), "sigmoid")


def test_a_run_steps_by_the_rates_and_keeps_the_schedule_of_the_base(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.yaml").write_text(RECIPE.format(activation="tanh", optimizer=BY_LAYER))
    inner = train_inside("net.yaml", name="net", within=tmp_path)
    assert inner.metrics["test/loss"] > 0
    base = SGD(lr=0.5, schedule=lambda lr, step, total: lr)
    assert LayerRates(base, "tanh").schedule is base.schedule
    made = LayerRates(base, "tanh")(list(MLP(20, 10, (16, 16), "tanh").parameters()))
    assert [g["lr_scale"] for g in made.param_groups] == [1 / 20, 1, 1 / 16, 1 / 2, 1 / 16, 1 / 3]


def test_widths_fit_a_number_of_weights():
    for depth in (2, 3, 7, 20):
        width = fitting_width(20000, depth, 20, 10)
        net = MLP(20, 10, (width,) * (depth - 1))
        assert sum(p.numel() for p in net.parameters()) == pytest.approx(20000, rel=0.06)
    with pytest.raises(UserError, match="too few for 30 layers"):
        fitting_width(120, 30, 20, 10)


def test_the_analysis_marks_the_predicted_depth_among_those_that_it_trains(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.yaml").write_text(RECIPE.format(activation="tanh", optimizer=BY_LAYER))
    found = AspectRatio("net.yaml", depths=(4, 2, 3), metric="test/loss", seeds=2).analyze(tmp_path)
    assert found["predicted"] == pytest.approx(4 / (50 * 2 / 3)) and found["weights"] == 778
    assert found["predicted/depth"] == 2 and found["best/depth"] in (2, 3, 4)
    assert found["at/2"] - found[f"at/{found['best/depth']:.0f}"] == pytest.approx(-found["best-less-predicted"])
    with (tmp_path / "aspect-ratio.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["depth"], row["width"]) for row in rows] == [("2", "25"), ("3", "16"), ("4", "13")]
    assert (tmp_path / "aspect-ratio.png").stat().st_size > 1000
    assert "depth 2, width 25" in capsys.readouterr().out


def test_a_single_depth_and_models_without_hidden_sizes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="two different numbers"):
        AspectRatio("criticality/rates-tanh", depths=(3, 3))
    with pytest.raises(UserError, match="has no hidden_sizes and activation"):
        AspectRatio("kernels/digits").analyze(tmp_path)
