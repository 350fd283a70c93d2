"""A linear state-space layer is a recurrence, a convolution and a differential equation, and all three agree."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rk_lssl.hippo import assemble, hippo, structure
from rk_lssl.layer import LSSL
from rk_lssl.memory import explained, last_states, smooth_noise
from rk_lssl.memory_probe import MemoryProbe
from rk_lssl.ops import causal_convolution, discretize, fast_length, krylov, power_times, recur
from rk_lssl.recurrence import SCRIPT, weights
from rk_lssl.resampling import Resampling
from rk_sequence.model import SequenceModel

from rk.errors import UserError

LEARNED = ("fixed", "shared", "per-feature")


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=random(seed), dtype=torch.float64)


# HiPPO matrices


def test_legs_is_the_matrix_of_the_paper():
    a, b = hippo("legs", 4)
    for n in range(4):
        assert b[n] == pytest.approx(math.sqrt(2 * n + 1))
        for k in range(4):
            expected = -math.sqrt((2 * n + 1) * (2 * k + 1)) if n > k else -(n + 1) if n == k else 0
            assert a[n, k] == pytest.approx(expected)


def test_legt_is_the_matrix_of_the_paper_for_a_window_of_length_one():
    a, b = hippo("legt", 5)
    for n in range(5):
        assert b[n] == pytest.approx(math.sqrt(2 * n + 1))
        for k in range(5):
            sign = 1 if n >= k else (-1) ** (n - k)
            assert a[n, k] == pytest.approx(-math.sqrt((2 * n + 1) * (2 * k + 1)) * sign)


def test_lagt_is_the_matrix_of_the_paper():
    a, b = hippo("lagt", 3)
    assert a.tolist() == [[-0.5, 0, 0], [-1, -0.5, 0], [-1, -1, -0.5]]
    assert b.tolist() == [1, 1, 1]


@pytest.mark.parametrize(("measure", "order"), [("legs", 1), ("legs", 7), ("legt", 8), ("legt", 32)])
def test_the_trainable_structure_begins_as_the_matrix(measure, order):
    for found, expected in zip(assemble(structure(measure, order)), hippo(measure, order), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)


def test_the_state_of_legt_is_the_window_in_legendre_polynomials():
    """The state of the last window gives the signal back: u(t - s) is sum_n x_n p_n P_n(1 - 2 s)."""
    steps, order = 2000, 12
    a, b = discretize(*hippo("legt", order), torch.tensor(1 / steps, dtype=torch.float64))
    time = torch.linspace(0, 3, 3 * steps, dtype=torch.float64)
    signal = (3 * time).sin() + 0.3 * (5 * time).cos()
    state = last_states(a, b, signal.unsqueeze(0))[0]
    back = torch.tensor([0.05, 0.3, 0.6, 0.9], dtype=torch.float64)
    legendre = np.polynomial.legendre.legvander(1 - 2 * back.numpy(), order - 1)
    p = np.sqrt(2 * np.arange(order) + 1)
    found = legendre @ (p * state.numpy())
    expected = [float(signal[len(signal) - 1 - round(float(s) * steps)]) for s in back]
    np.testing.assert_allclose(found, expected, atol=5e-3)


# from time to steps


def test_the_bilinear_transform_is_its_formula():
    a, b = hippo("legs", 5)
    dt = torch.tensor([0.1, 0.02], dtype=torch.float64)
    found_a, found_b = discretize(a, b, dt)
    eye = torch.eye(5, dtype=torch.float64)
    for i, h in enumerate(dt):
        inverse = torch.linalg.inv(eye - h / 2 * a)
        torch.testing.assert_close(found_a[i], inverse @ (eye + h / 2 * a))
        torch.testing.assert_close(found_b[i], h * inverse @ b)


def test_zero_order_hold_is_the_differential_equation_of_an_input_that_is_constant_within_steps():
    from scipy.integrate import solve_ivp

    (a, b), dt, inputs = hippo("legs", 4), 0.2, [1.0, -0.5, 2.0]
    step_a, step_b = discretize(a, b, torch.tensor(dt, dtype=torch.float64), "zoh")
    state = torch.zeros(4, dtype=torch.float64)
    exact = np.zeros(4)
    for u in inputs:
        state = step_a @ state + step_b * u
        rates = (a.numpy(), b.numpy() * u)
        solved = solve_ivp(lambda _, x, r=rates: r[0] @ x + r[1], (0, dt), exact, rtol=1e-11, atol=1e-12)
        exact = solved.y[:, -1]
    np.testing.assert_allclose(state.numpy(), exact, atol=1e-9)


@pytest.mark.parametrize(("method", "order"), [("bilinear", 2), ("backward", 1), ("forward", 1)])
def test_halving_the_step_divides_the_error_by_the_power_of_the_method(method, order):
    a, b = hippo("legs", 3)
    exact = torch.linalg.matrix_exp(a) @ b
    errors = []
    for count in (256, 512):
        step, _ = discretize(a, b, torch.tensor(1 / count, dtype=torch.float64), method)
        errors.append(float((torch.linalg.matrix_power(step, count) @ b - exact).norm()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.05)


def test_a_gate_is_a_learned_step():
    """With A = -1, B = 1 and backward steps of length exp(z), x_t = (1 - s) x_{t-1} + s u_t with s = sigmoid(z)."""
    z = normal(6)
    one = torch.ones(1, dtype=torch.float64)
    a, b = discretize(-one.diag(), one, z.exp(), "backward")
    torch.testing.assert_close(a.flatten(), 1 - z.sigmoid())
    torch.testing.assert_close(b.flatten(), z.sigmoid())


# kernels and convolutions


@given(st.integers(1, 33))
def test_doubling_gives_the_krylov_matrix(length):
    a, b = normal(2, 3, 3) / 3, normal(2, 3, seed=1)
    naive = [b]
    for _ in range(length - 1):
        naive.append(torch.einsum("hij,hj->hi", a, naive[-1]))
    torch.testing.assert_close(krylov(length, a, b), torch.stack(naive, -1))


def test_the_kernel_in_32_bits_is_that_in_64():
    a, b = discretize(*hippo("legs", 64), torch.logspace(-3, -1, 4, dtype=torch.float64))
    exact = krylov(1024, a, b)
    error = (krylov(1024, a.float(), b.float()).double() - exact).abs().amax() / exact.abs().amax()
    assert error < 2e-6


@given(st.integers(1, 40))
def test_the_convolution_is_the_sum_over_all_steps_before(length):
    kernel, u = normal(3, 2, length), normal(2, 3, length, seed=1)
    naive = torch.zeros(2, 3, 2, length, dtype=torch.float64)
    for t in range(length):
        for s in range(t + 1):
            naive[..., t] += kernel[..., s] * u[:, :, None, t - s]
    torch.testing.assert_close(causal_convolution(kernel, u), naive)


def test_a_fast_length_has_small_prime_factors_and_is_not_less():
    for least in range(1, 600):
        found = fast_length(least)
        rest = found
        for p in (2, 3, 5):
            while rest % p == 0:
                rest //= p
        assert rest == 1 and least <= found <= 1 << (least - 1).bit_length()


def test_a_power_of_each_row():
    a, x = normal(2, 3, 3), normal(4, 2, 3, seed=1)
    counts = torch.tensor([0, 1, 5, 6])
    found = power_times(a, x, counts, 6)
    for i, n in enumerate(counts.tolist()):
        torch.testing.assert_close(found[i], torch.einsum("hij,hj->hi", torch.linalg.matrix_power(a, n), x[i]))


# the layer


def naive(layer: LSSL, x: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """The layer step by step (arXiv:2110.13985, Eq. 3 to 5)."""
    a, b = layer.system()
    state = torch.zeros(len(x), x.shape[2], layer.order, dtype=x.dtype)
    given = []
    for t in range(x.shape[1]):
        _, after = recur(a, b, x[:, t].unsqueeze(-1), state)
        keep = torch.ones(len(x), dtype=torch.bool) if mask is None else mask[:, t]
        state = torch.where(keep.view(-1, 1, 1), after, state)
        y = torch.einsum("hmn,bhn->bhm", layer.C, after) + layer.D * x[:, t].unsqueeze(-1)
        given.append(layer.mix(torch.nn.functional.gelu(y).flatten(1)))
    return torch.stack(given, 1), state


def make(learned: str = "fixed", **settings) -> LSSL:
    torch.manual_seed(0)
    return LSSL(d_model=4, **({"order": 6, "channels": 2, "learned": learned} | settings)).double()


@pytest.mark.parametrize("method", ["bilinear", "zoh"])
@pytest.mark.parametrize("learned", LEARNED)
@pytest.mark.parametrize("length", [1, 2, 11])
def test_the_convolution_answers_and_learns_as_the_recurrence(learned, length, method):
    layer, x = make(learned, method=method), normal(3, length, 4).requires_grad_()
    gradients = []
    for function in (layer, lambda u: naive(layer, u)[0]):
        layer.zero_grad()
        x.grad = None
        answer = function(x)
        answer.square().sum().backward()
        gradients.append([answer, x.grad, *(p.grad for p in layer.parameters())])
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("sizes", [(1, 1, 9), (4, 7), (11,)], ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_pieces_give_what_the_whole_gives(sizes, masked):
    layer, x = make("shared"), normal(3, 11, 4)
    mask = torch.rand(3, 11, generator=random(5)) > 0.4 if masked else None
    if mask is not None:
        mask[0], mask[1, :4] = True, False
    expected, last = naive(layer, x, mask)
    kept = torch.ones(3, 11, dtype=torch.bool) if mask is None else mask
    torch.testing.assert_close(layer(x, mask)[kept], expected[kept])
    state, given = layer.initial_state(3), []
    for i, piece in enumerate(x.split(sizes, 1)):
        y, state = layer.scan(piece, state, None if mask is None else mask.split(sizes, 1)[i])
        given.append(y)
    torch.testing.assert_close(torch.cat(given, 1)[kept], expected[kept])
    torch.testing.assert_close(state, last)


def test_the_basis_is_kept_while_the_system_is_and_no_longer():
    layer, x = make("shared"), normal(2, 9, 4)
    with torch.no_grad():
        layer(x)
        kept = layer._basis(9)
        assert layer._basis(9) is kept
        layer.log_dt.add_(0.1)
        assert layer._basis(9) is not kept
        torch.testing.assert_close(layer(x), naive(layer, x)[0])
    fixed = make("fixed")
    fixed(x).sum().backward()
    assert fixed._basis(9) is fixed._basis(9)


@pytest.mark.parametrize("learned", ["shared", "per-feature"])
def test_answers_follow_each_update_of_a_fused_optimizer(learned):
    """Its updates are not counted in the weights' versions."""
    layer, x = make(learned), normal(2, 9, 4)
    optimizer = torch.optim.AdamW(layer.parameters(), 0.05, fused=True)
    for _ in range(2):
        with torch.no_grad():
            torch.testing.assert_close(layer(x), naive(layer, x)[0])
            before = layer.system()[0]
        layer(x).square().sum().backward()
        optimizer.step()
        with torch.no_grad():
            assert not torch.equal(layer.system()[0], before)
            torch.testing.assert_close(layer(x), naive(layer, x)[0])


def test_what_is_learned_has_its_own_rate_and_does_not_decay():
    layer = make("shared", lr_scale_a=0.1, lr_scale_dt=0.5)
    special = {name: p for name, p in layer.named_parameters() if getattr(p, "no_weight_decay", False)}
    assert set(special) == {"log_dt", *(f"matrices.{n}" for n in structure("legs", 6))}
    assert special["matrices.c"].lr_scale == 0.1
    assert special["log_dt"].lr_scale == 0.5
    assert {name for name, _ in make("fixed").named_parameters()} == {"C", "D", "mix.weight", "mix.bias"}


def test_a_smooth_signal_sampled_half_as_often_gives_the_same_answers_with_steps_twice_as_long():
    layer = LSSL(d_model=2, order=8, dt_min=2e-3, dt_max=1e-2).double()
    time = torch.linspace(0, 4, 801, dtype=torch.float64)
    x = torch.stack([(2 * time).sin(), (3 * time).cos()], -1).unsqueeze(0)
    whole = layer(x)[:, ::2]
    layer.rate = 2.0
    stretched = layer(x[:, ::2])
    layer.rate = 1.0
    as_trained = layer(x[:, ::2])
    assert (stretched - whole)[:, 50:].abs().max() < 0.05 * (as_trained - whole)[:, 50:].abs().max()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"dt_min": 0.2, "dt_max": 0.1}, "dt_min must be at most dt_max, got 0.2 and 0.1"),
        ({"learned": "shared", "measure": "lagt"}, "matrices that are learned begin as legs or legt, got lagt"),
    ],
)
def test_what_cannot_be_is_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        LSSL(d_model=2, **settings)


# the probe


def test_the_probe_is_ridge_regression():
    from sklearn.linear_model import Ridge

    signals = smooth_noise(60, 40, 2.0, random())
    states = normal(60, 5, seed=2)
    found = explained(states, signals, [0, 7], train=40, ridge=1e-3)
    x = states[:40]
    alpha = 1e-3 * float((x.mT @ x).diagonal().mean())
    model = Ridge(alpha=alpha, fit_intercept=False).fit(x.numpy(), signals[:40, [39, 32]].numpy())
    answer, target = model.predict(states[40:].numpy()), signals[40:, [39, 32]].numpy()
    expected = 1 - ((answer - target) ** 2).sum(0) / ((target - target.mean(0)) ** 2).sum(0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_hippo_states_remember_what_random_ones_forget(tmp_path):
    probe = MemoryProbe(delays=(0, 64, 128), train_signals=300, test_signals=100)
    found = probe.analyze(tmp_path)
    assert found["legt/128"] > 0.9
    assert found["legs/128"] > 0.9
    assert found["random/128"] < 0.3
    assert (tmp_path / "memory.png").is_file()


def test_a_delay_beyond_the_signal_is_refused():
    with pytest.raises(ValueError, match="delays must be less than the length of 100 steps, got 100"):
        MemoryProbe(length=100, delays=(100,))


# what is written for others


@pytest.mark.parametrize("readout", ["last", "mean"])
def test_a_script_of_numpy_answers_as_the_model(tmp_path, readout):
    torch.manual_seed(0)

    def layer(d_model):
        return LSSL(d_model=d_model, order=5, channels=2)

    model = SequenceModel(
        layer=layer, vocab_size=None, num_features=3, num_outputs=2, readout=readout, d_model=4, num_layers=2
    ).eval()
    series = torch.randn(17, 3)
    np.savez(tmp_path / "recurrence.npz", **weights(model))
    (tmp_path / "recurrence.py").write_text(SCRIPT)
    np.savetxt(tmp_path / "series.csv", series.numpy(), delimiter=",")
    command = [sys.executable, tmp_path / "recurrence.py", tmp_path / "series.csv"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    with torch.no_grad():
        expected = model(inputs=series.unsqueeze(0))["logits"][0]
    np.testing.assert_allclose([float(n) for n in said.split()], expected.numpy(), atol=1e-4)


class Run:
    """A run, as far as the analysis looks at it."""

    def __init__(self, model, batches) -> None:
        self.learner = torch.nn.Module()
        self.learner.model = model
        self.learner.predict = lambda batch: model(inputs=batch["inputs"])
        self._batches = batches
        self.folder = type("Folder", (), {"label": "runs/x"})()

    def batches(self, split, limit=None):
        return iter(self._batches)


def test_resampling_stretches_the_steps_and_puts_them_back(tmp_path):
    torch.manual_seed(0)
    model = SequenceModel(
        layer=lambda d_model: LSSL(d_model=d_model, order=5),
        vocab_size=None, num_features=1, num_outputs=3, readout="mean", d_model=4,
    ).eval()  # fmt: skip
    inputs = torch.randn(6, 24, 1)
    layer = model.blocks[0].layer
    targets = {}
    for every in (1, 2):
        layer.rate = float(every)
        targets[every] = model(inputs=inputs[:, ::every])["logits"].argmax(-1)
    layer.rate = 1.0
    found = Resampling(Run(model, [{"inputs": inputs, "targets": targets[2]}]), every=(1, 2)).analyze(tmp_path)
    assert found["stretched/2"] == 1.0
    assert found["stretched/1"] == found["as-trained/1"] == float((targets[1] == targets[2]).float().mean())
    assert layer.rate == 1.0


def test_a_run_without_such_layers_cannot_be_stretched(tmp_path):
    with pytest.raises(UserError, match="runs/x: its model has no layer lssl"):
        Resampling(Run(torch.nn.Linear(1, 1), [])).analyze(tmp_path)
