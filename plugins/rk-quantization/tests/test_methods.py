"""Learned steps, the Hessian, the allocation of bits, and what moves weights before rounding: by their definitions."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rk_quantization import gptq, naive, reconstruction
from rk_quantization.allocation import front, within
from rk_quantization.equalization import equalize, scale_pair
from rk_quantization.grids import UniformGrid, fit
from rk_quantization.hessian import traces
from rk_quantization.lsq import first_step, step_gradient, straight_through
from rk_quantization.mixed import multiplications, reversed_order
from rk_quantization.pact import ClippedInput
from rk_quantization.scheme import Layout, Scheme
from rk_quantization.weights import quantizable
from torch import nn


def seeded(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# -- learned steps -----------------------------------------------------------------------------------------------------


def test_step_gradients_are_those_of_autograd_with_a_rounding_that_passes_gradients():
    rows, upstream = seeded(3, 40), seeded(3, 40, seed=1)
    step = first_step(rows, 3) * 0.5
    grid = UniformGrid(step, torch.zeros(3, 1, dtype=torch.int32), -3, 3)
    r, s = rows.clone().requires_grad_(), step.clone().requires_grad_()
    scaled = (r / s).clamp(-3, 3)
    rounded = scaled + (torch.round(scaled) - scaled).detach()
    (rounded * s * upstream).sum().backward()
    assert not grid.inside(rows).all(), "some are clipped"
    passed, by_step = step_gradient(upstream, rows, grid)
    torch.testing.assert_close(by_step, s.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(passed, r.grad)
    torch.testing.assert_close(straight_through(upstream, rows, grid), r.grad)


def test_the_first_step_follows_the_mean_size():
    assert first_step(torch.tensor([[1.0, -3.0], [0.0, 0.0]]), 4).tolist() == [[2.0], [1.0]]


# -- the Hessian -------------------------------------------------------------------------------------------------------


class Small(nn.Module):
    """Two layers whose learner has the loss of a batch."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 2)

    def predict(self, batch):
        return {"logits": self.second(self.first(batch["inputs"]).tanh())}

    def forward(self, batch):
        return nn.functional.cross_entropy(self.predict(batch)["logits"], batch["targets"], reduction="sum"), 6


BATCH = {"inputs": seeded(6, 3, seed=1), "targets": torch.tensor([0, 1] * 3)}


def test_traces_are_those_of_the_whole_hessian():
    learner = Small()
    weights = {n: p for n, p in learner.named_parameters() if p.dim() == 2}
    found = traces(learner, weights, lambda: iter([BATCH]), probes=800, seed=0)
    for name, weight in weights.items():

        def loss(w, name=name):
            return torch.func.functional_call(learner, {name: w}, (BATCH,))[0] / 6

        hessian = torch.autograd.functional.hessian(loss, weight.detach())
        exact = float(hessian.reshape(weight.numel(), -1).diagonal().sum())
        assert found[name] == pytest.approx(exact, rel=0.1), name


# -- bits --------------------------------------------------------------------------------------------------------------

COSTS = st.lists(st.tuples(st.integers(1, 9), st.lists(st.integers(0, 50), min_size=3, max_size=3)), max_size=5)


@given(COSTS, st.integers(0, 120))
@settings(max_examples=60, deadline=None)
def test_the_chosen_bits_have_the_lowest_cost_of_all_that_fit(layers, budget):
    costs = [dict(zip((2, 4, 8), map(float, cost), strict=True)) for _, cost in layers]
    sizes = [{b: b * n for b in (2, 4, 8)} for n, _ in layers]
    points = front(costs, sizes)
    expected, found = naive.best_allocation(costs, sizes, budget), within(points, budget)
    assert (found is None) == (expected is None)
    if found is not None:
        assert found.cost == expected[0]
        assert found.size == sum(size[b] for size, b in zip(sizes, found.bits, strict=True)) <= budget
    assert all(a.size < b.size and a.cost > b.cost for a, b in pairwise(points))


def test_the_reversed_order_gives_the_highest_sensitivity_to_the_least_sensitive():
    assert reversed_order({"a": 3.0, "b": 1.0, "c": 2.0}) == {"a": 1.0, "b": 3.0, "c": 2.0}


def test_multiplications_count_every_place_of_a_convolution():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(2, 5, 3, padding=1, stride=2), nn.Linear(5 * 16, 3)

        def predict(self, batch):
            return {"logits": self.head(self.conv(batch["inputs"]).flatten(1))}

    net = Net()
    found = multiplications(net, quantizable(net), lambda: iter([{"inputs": torch.zeros(7, 2, 8, 8)}]))
    assert found == {"conv.weight": 7 * 16 * 5 * 2 * 9, "head.weight": 7 * 80 * 3}


# -- before rounding ---------------------------------------------------------------------------------------------------


def layer_of(module):
    return reconstruction.of(quantizable(module)["weight"])


@pytest.mark.parametrize(
    ("kind", "sizes", "shape"),
    [(nn.Linear, (16, 8), (64, 16)), (nn.Conv2d, (3, 4, 3), (8, 3, 6, 6))],
    ids=["linear", "conv"],
)
def test_adaround_has_a_lower_error_than_nearest_and_bias_correction_removes_its_mean(kind, sizes, shape):
    torch.manual_seed(0)
    module = kind(*sizes)
    inputs = seeded(*shape).relu() + 0.3
    weight = module.weight.detach().clone()
    layout = Layout(tuple(weight.shape), 0, "channel")
    rows = layout.rows(weight)
    grid = fit(rows, Scheme(3, "symmetric"))
    layer = layer_of(module)
    learned = reconstruction.adaround(layer, layout, grid, weight, [inputs], rounds=200, seed=0)
    lower = torch.floor(rows / grid.scale).clamp(-4, 3)
    assert bool(((learned == lower) | (learned == (lower + 1).clamp(-4, 3))).all()), "down or up, nothing else"
    target = layer.apply(inputs, weight)

    def error(codes):
        return float((layer.apply(inputs, layout.weight(grid.decode(codes))) - target).square().mean())

    assert error(learned) < 0.7 * error(grid.encode(rows))
    after, bias = layout.weight(grid.snap(rows)), module.bias.detach().clone()
    with torch.no_grad():
        reconstruction.correct_bias(layer, weight, after, [inputs])
        moved = (layer.apply(inputs, after) - target).movedim(layer.channel, -1) + (module.bias - bias)
    assert float(moved.flatten(0, -2).mean(0).abs().max()) < 1e-6


@pytest.mark.parametrize("granularity", ["tensor", "channel", "group"])
@pytest.mark.parametrize(
    ("kind", "sizes", "options", "shape"),
    [
        (nn.Linear, (16, 8), {}, (64, 16)),
        (nn.Conv2d, (4, 6, 3), {"groups": 2, "padding": 1, "padding_mode": "reflect"}, (8, 4, 6, 6)),
        (nn.Conv1d, (4, 6, 3), {"stride": 2}, (8, 4, 12)),
    ],
    ids=["linear", "conv in groups", "conv over time"],
)
def test_gptq_has_the_codes_of_its_naive_twin_and_a_lower_error_than_nearest(kind, sizes, options, shape, granularity):
    torch.manual_seed(0)
    module = kind(*sizes, **options)
    inputs = [seeded(*shape).relu() + 0.3, seeded(*shape, seed=1)]
    weight, channels = module.weight.detach(), len(module.weight)
    layout = Layout(tuple(weight.shape), 0, granularity, weight[0].numel() // 2)
    rows = layout.rows(weight)
    grid = fit(rows, Scheme(3, "symmetric", granularity))
    layer = layer_of(module)
    found = gptq.gptq(layer, layout, grid, weight, inputs)
    steps = layout.weight(grid.scale.expand(rows.shape)).reshape(channels, -1).tolist()
    hessians = [gptq.damped(h).tolist() for h in gptq.hessians(layer, weight, inputs)]
    expected = [
        naive.gptq(row, hessians[i * layer.groups // channels], steps[i], grid.low, grid.high)
        for i, row in enumerate(weight.reshape(channels, -1).tolist())
    ]
    assert layout.weight(found).reshape(channels, -1).tolist() == expected

    def error(codes):
        change = layout.weight(grid.decode(codes)) - weight
        return sum(float(layer.apply(x, change).square().sum()) for x in inputs)

    assert error(found) < 0.9 * error(grid.encode(rows))


def test_the_hessian_of_a_convolution_is_that_of_its_outputs():
    module = nn.Conv2d(2, 4, 2, groups=2, padding=1)
    x, layer = seeded(3, 2, 4, 4), layer_of(module)
    found = gptq.hessians(layer, module.weight, [x])
    kernel = module.weight[0].detach().requires_grad_()
    exact = torch.autograd.functional.hessian(
        lambda k: nn.functional.conv2d(x[:, :1], k[None], padding=1).square().sum(), kernel
    )
    torch.testing.assert_close(found[0].float(), exact.reshape(4, 4), rtol=1e-4, atol=1e-4)


def test_the_weight_for_the_inputs_of_a_recurrent_layer_is_a_layer_and_that_of_its_states_is_not():
    torch.manual_seed(0)
    module, x = nn.LSTM(6, 5), seeded(9, 4, 6)
    weights = quantizable(module)
    layer = reconstruction.of(weights["weight_ih_l0"])
    assert reconstruction.of(weights["weight_hh_l0"]) is None
    with torch.no_grad():
        module.weight_hh_l0.zero_()
        gates = layer.apply(x, module.weight_ih_l0) + layer.bias + module.bias_hh_l0
        i, _, g, o = gates[0].chunk(4, -1)
        expected = o.sigmoid() * (i.sigmoid() * g.tanh()).tanh()
        torch.testing.assert_close(module(x)[0][0], expected)


def test_blocks_of_columns_change_nothing_and_dead_inputs_are_harmless(monkeypatch):
    module, x = nn.Linear(20, 5), seeded(64, 20)
    x[:, 3] = 0
    layout, layer = Layout((5, 20), 0, "channel"), layer_of(module)
    weight = module.weight.detach()
    grid = fit(weight, Scheme(4))
    whole = gptq.gptq(layer, layout, grid, weight, [x])
    monkeypatch.setattr(gptq, "BLOCK", 7)
    assert torch.equal(gptq.gptq(layer, layout, grid, weight, [x]), whole)
    assert torch.equal(gptq.gptq(layer, layout, grid, weight, [0 * x]), grid.encode(weight)), "no input: nearest"


class Chain(nn.Module):
    """Two pairs of layers around a ReLU; the second one's activations are also used elsewhere."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.relu, self.other = nn.ReLU(), nn.ReLU()
        with torch.no_grad():
            self.a.weight.mul_(torch.logspace(-2, 0, 6)[:, None])

    def predict(self, batch):
        hidden = self.other(self.b(self.relu(self.a(batch["inputs"]))))
        return {"values": self.c(hidden) + hidden}


def test_equalisation_gives_both_layers_the_same_ranges_and_keeps_the_answer():
    net, batch = Chain(), {"inputs": seeded(5, 4)}
    kept, before = net.c.weight.clone(), net.predict(batch)["values"]
    assert equalize(net, list(quantizable(net).values()), lambda: iter([batch]), 0) == 1
    torch.testing.assert_close(net.predict(batch)["values"], before, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(net.a.weight.abs().amax(1), net.b.weight.abs().amax(0), rtol=1e-4, atol=1e-6)
    assert torch.equal(net.c.weight, kept), "a pair whose activations are used elsewhere is taken back"


def test_the_factor_of_a_channel_is_the_published_one():
    first, second = nn.Linear(2, 3), nn.Linear(3, 2)
    r1, r2 = first.weight.detach().abs().amax(1), second.weight.detach().abs().amax(0)
    was = first.weight.detach().clone()
    with torch.no_grad():
        scale_pair(first, second)
    s = (r1 * r2).sqrt() / r2
    torch.testing.assert_close(first.weight.detach(), was / s[:, None])


# -- activations -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signed", [False, True])
def test_a_learned_clipping_has_the_published_values_and_gradients(signed):
    clip, alpha = ClippedInput(3), 1.4
    with torch.no_grad():
        clip.alpha.fill_(alpha)
        clip.signed.fill_(float(signed))
    x = torch.tensor([-2.0, -0.3, 0.0, 0.61, 1.39, 1.5, 3.0], requires_grad=True)
    y = clip(x)
    low, scale = (-alpha, alpha / 3) if signed else (0.0, alpha / 7)
    torch.testing.assert_close(y, torch.round(x.detach().clamp(low, alpha) / scale) * scale)
    y.sum().backward()
    inside = [float(low <= v <= alpha) for v in x.tolist()]
    assert x.grad.tolist()[3:] == inside[3:], "1 within the range, 0 outside"
    assert float(clip.alpha.grad) == 2 - signed, "1 for each clipped number, -1 at the lower end"
