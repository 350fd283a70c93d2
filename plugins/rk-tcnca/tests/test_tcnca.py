"""Convolutions that reach far, attention within chunks: each part against its definition, whole and in pieces."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rk_tcnca.attention import RotaryBias, attend_in_chunks, weights
from rk_tcnca.convolution import causal_filter, dilated_stack, long_filter, receptive_field, shifted_stack
from rk_tcnca.layer import TCNCA
from rk_tcnca.mixers import Convolutions, DampedEMA

MIXERS = ("tcn", "ema", "none")


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# the convolutions


def naive_stack(x, weight, dilation):
    """Sums of taps, one output after the other."""
    for i, taps in enumerate(weight):
        y = torch.zeros_like(x)
        for t in range(x.shape[1]):
            for j in range(taps.shape[1]):
                if t >= j * dilation**i:
                    y[:, t] += taps[:, j] * x[:, t - j * dilation**i]
        x = y
    return x


@pytest.mark.parametrize(("taps", "dilation", "depth"), [(1, 1, 1), (2, 2, 3), (4, 3, 2), (3, 1, 2)])
def test_the_stack_is_the_sum_over_its_taps(taps, dilation, depth):
    x, weight = normal(2, 19, 3), normal(depth, 3, taps, seed=1)
    expected = naive_stack(x, weight, dilation)
    torch.testing.assert_close(dilated_stack(x, weight, dilation)[0], expected)
    torch.testing.assert_close(shifted_stack(x, weight, dilation), expected)


@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 3))
def test_a_linear_stack_is_one_long_filter(length, dilation, depth):
    x, weight = normal(2, length, 3), normal(depth, 3, 4, seed=1)
    kernel = long_filter(weight, dilation)
    assert kernel.shape == (3, receptive_field(4, dilation, depth))
    torch.testing.assert_close(causal_filter(x, kernel), dilated_stack(x, weight, dilation)[0])


def test_a_tree_uses_every_input_of_its_window_once():
    """With as many taps as the dilation, the window has dilation^depth steps, and no path to one of them is doubled."""
    kernel = long_filter(torch.ones(3, 1, 4, dtype=torch.float64), 4)
    assert kernel.shape == (1, 64)
    torch.testing.assert_close(kernel, torch.ones(1, 64, dtype=torch.float64))


def test_both_ways_to_convolve_learn_alike():
    torch.manual_seed(0)
    mixer, x = Convolutions(4, 4, 4, 3).double(), normal(2, 73, 4).requires_grad_()
    found = []
    for function in (mixer, lambda u: causal_filter(u, long_filter(mixer.weight, 4)) + mixer.omega * u):
        mixer.zero_grad()
        x.grad = None
        function(x).square().sum().backward()
        found.append([x.grad, mixer.weight.grad, mixer.omega.grad])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_the_stack_keeps_the_variance_of_its_input_at_first():
    torch.manual_seed(0)
    mixer = Convolutions(512, 4, 4, 4)
    x = torch.randn(1, 1024, 512)
    y = mixer(x) - mixer.omega * x
    assert float(y[:, 300:].detach().var()) == pytest.approx(1, rel=0.2)


# the damped EMA


def test_the_damped_average_is_its_recurrence():
    torch.manual_seed(0)
    mixer, x = DampedEMA(3, 4).double(), normal(2, 11, 3)
    p, alpha = mixer.delta.sigmoid(), mixer.alpha.sigmoid()
    state = torch.zeros(2, 3, 4, dtype=torch.float64)
    expected = []
    for t in range(11):
        state = p * mixer.beta * x[:, t].unsqueeze(-1) + (1 - p * alpha) * state
        expected.append((mixer.gamma * state).sum(-1) / math.sqrt(4) + mixer.omega * x[:, t])
    torch.testing.assert_close(mixer(x), torch.stack(expected, 1))


# attention


@pytest.mark.parametrize("attend", ["softmax", "laplace", "relu2"])
@pytest.mark.parametrize(("length", "chunk"), [(3, 5), (10, 5), (13, 4)])
def test_a_step_reads_its_chunk_up_to_itself(length, chunk, attend):
    q, k, v = (normal(2, length, 3, seed=i) for i in range(3))
    bias = normal(chunk, seed=4)
    found = attend_in_chunks(q, k, v, bias, chunk, attend)
    for t in range(length):
        first = t - t % chunk
        scores = torch.einsum("bz,bsz->bs", q[:, t], k[:, first : t + 1]) + bias[: t - first + 1].flip(0)
        weight = weights(scores, torch.ones_like(scores, dtype=torch.bool), attend, chunk)
        torch.testing.assert_close(found[:, t], torch.einsum("bs,bsv->bv", weight, v[:, first : t + 1]))


def test_laplace_is_the_error_function_of_mega():
    x = torch.tensor([-1.0, 0.0, 0.7, 3.0], dtype=torch.float64)
    mean, deviation = math.sqrt(1 / 2), math.sqrt(1 / (4 * math.pi))
    expected = [0.5 * (1 + math.erf((float(one) - mean) / (deviation * math.sqrt(2)))) for one in x]
    found = weights(x.unsqueeze(0) * 7, torch.ones(1, 4, dtype=torch.bool), "laplace", 7)
    torch.testing.assert_close(found[0], torch.tensor(expected, dtype=torch.float64))


def test_a_rotary_bias_is_the_product_of_two_turned_vectors():
    torch.manual_seed(0)
    bias = RotaryBias(7, 6).double()
    torch.nn.init.normal_(bias.pair)

    def turned(vector, place):
        found = torch.empty_like(vector)
        for k in range(3):
            angle = place * 10000 ** (-k / 3)
            x, y = float(vector[k]), float(vector[k + 3])
            found[k] = x * math.cos(angle) - y * math.sin(angle)
            found[k + 3] = x * math.sin(angle) + y * math.cos(angle)
        return found

    found, (alpha, beta) = bias().detach(), bias.pair.detach()
    for i in range(7):
        for j in range(i + 1):
            assert float(found[i - j]) == pytest.approx(float(turned(alpha, i) @ turned(beta, j)), abs=1e-6)


# the layer


def make(mixer: str = "tcn", **settings) -> TCNCA:
    torch.manual_seed(0)
    sizes = {"z_dim": 4, "v_dim": 5, "chunk_size": 5, "taps": 3, "dilation": 2, "depth": 2}
    layer = TCNCA(d_model=6, mixer=mixer, **(sizes | settings)).double()
    torch.nn.init.normal_(layer.bias if layer.rotary is None else layer.rotary.pair)
    return layer


def test_the_layer_is_the_equations_of_mega():
    layer, x = make(), normal(2, 9, 6)
    mixed = torch.nn.functional.silu(layer.mixer(x))
    z = torch.nn.functional.silu(layer.shared(mixed))
    q, k = z * layer.scale[0] + layer.shift[0], z * layer.scale[1] + layer.shift[1]
    v = torch.nn.functional.silu(layer.value(x))
    u, r, candidate = layer.gates(mixed).split([6, 5, 6], -1)
    read = attend_in_chunks(q / 2, k, v, layer.bias, 5)
    h = torch.nn.functional.silu(candidate + layer.out(read * torch.nn.functional.silu(r)))
    torch.testing.assert_close(x + layer(x), u.sigmoid() * h + (1 - u.sigmoid()) * x)


@pytest.mark.parametrize("sizes", [(1,) * 13, (4, 9), (13,)], ids=str)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("simplified", [False, True])
@pytest.mark.parametrize("mixer", MIXERS)
def test_pieces_give_what_the_whole_gives(mixer, simplified, masked, sizes):
    layer, x = make(mixer, simplified=simplified), normal(3, 13, 6)
    mask = torch.ones(3, 13, dtype=torch.bool)
    if masked:
        mask = torch.rand(3, 13, generator=torch.Generator().manual_seed(5)) > 0.4
        mask[0], mask[1, :3] = True, False
    expected = layer(x, mask if masked else None)
    state, given = layer.initial_state(3), []
    for piece, part in zip(x.split(sizes, 1), mask.split(sizes, 1), strict=True):
        y, state = layer.scan(piece, state, part if masked else None)
        given.append(y)
    torch.testing.assert_close(torch.cat(given, 1)[mask], expected[mask])
    for row in range(3):  # masked steps are as if they were not there
        torch.testing.assert_close(layer(x[row : row + 1, mask[row]])[0], expected[row, mask[row]])


@pytest.mark.parametrize(("mixer", "bias"), [*((mixer, "simple") for mixer in MIXERS), ("tcn", "rotary")])
def test_pieces_learn_as_the_whole(mixer, bias):
    layer, x = make(mixer, bias=bias), normal(2, 12, 6)
    gradients = []
    for sizes in ((12,), (5, 4, 3)):
        layer.zero_grad()
        state, total = layer.initial_state(2), torch.zeros((), dtype=torch.float64)
        for piece in x.split(sizes, 1):
            y, state = layer.scan(piece, state)
            total = total + y.square().sum()
        total.backward()
        gradients.append({name: p.grad.clone() for name, p in layer.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)


@pytest.mark.parametrize(("mixer", "reaches"), [("tcn", True), ("ema", True), ("none", False)])
def test_another_chunk_is_seen_through_the_mixer_alone(mixer, reaches):
    layer, x = make(mixer), normal(1, 10, 6).requires_grad_()
    layer(x)[0, 6].sum().backward()  # in the second chunk of five
    assert bool(x.grad[0, 4].abs().max() > 1e-9) == reaches
    assert float(x.grad[0, 7:].abs().max()) < 1e-12  # nothing looks ahead; a transform rounds


def test_a_rotary_bias_needs_an_even_width():
    with pytest.raises(ValueError, match="z_dim must be even with a rotary bias, got 5"):
        TCNCA(d_model=4, z_dim=5, bias="rotary")


def test_fewer_taps_than_the_dilation_would_leave_out_steps():
    with pytest.raises(ValueError, match="taps must be at least the dilation of 4, or steps are left out; got 3"):
        TCNCA(d_model=4, taps=3, dilation=4)
