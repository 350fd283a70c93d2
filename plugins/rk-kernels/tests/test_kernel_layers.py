"""Kernels of networks: against naive double loops, wide networks, and each other."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import get_args

import pytest
import torch
from rk_kernels import naive
from rk_kernels.activations import Activation as Name
from rk_kernels.conv_kernel import ConvKernel
from rk_kernels.covariance import Kind, inner_products
from rk_kernels.duals import Relu
from rk_kernels.empirical import empirical_ntk
from rk_kernels.hierarchical_kernel import HierarchicalKernel
from rk_kernels.layers import Activation, Dense, box_mean, serial
from rk_kernels.mlp_kernel import MLPKernel
from rk_kernels.rbf_kernel import RBFKernel
from rk_kernels.tiles import block_size, tiled
from torch import nn

SHAPE = (2, 4, 4)
KERNELS = {
    "mlp": lambda: MLPKernel(depth=3),
    "mlp-ntk": lambda: MLPKernel(depth=3, kind="ntk"),
    "residual-erf": lambda: MLPKernel(depth=3, activation="erf", residual=True, b_std=0.0),
    "rbf": lambda: RBFKernel(3.0),
    "conv": lambda: ConvKernel(SHAPE, depth=2),
    "conv-ntk": lambda: ConvKernel(SHAPE, depth=2, kind="ntk"),
    "hierarchical": lambda: HierarchicalKernel((4, 2, 4), 32),
    "hierarchical-nngp": lambda: HierarchicalKernel((2, 4), 32, kind="nngp"),
}


FIXED = {"hierarchical", "hierarchical-nngp"}
"""Kernels that learn nothing."""


def inputs(n, features=32, seed=0):
    return torch.randn(n, features, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=KERNELS)
def kernel(request):
    return KERNELS[request.param]()


def test_a_matrix_of_one_set_is_that_of_two_equal_ones_and_exactly_symmetric(kernel):
    x = inputs(7)
    whole = kernel(x)
    torch.testing.assert_close(whole, kernel(x, x), atol=2e-7, rtol=0)  # of two, the diagonal is rounded
    assert torch.equal(whole, whole.mT)
    assert whole.dtype == torch.float64


def test_the_diagonal_is_that_of_the_matrix(kernel):
    x = inputs(7)
    torch.testing.assert_close(kernel.diagonal(x), kernel(x).diagonal(), atol=1e-12, rtol=1e-12)


def test_a_kernel_has_no_negative_direction(kernel):
    x = torch.cat([inputs(12), inputs(4), -inputs(3, seed=1)])  # repeated and opposite rows too
    assert float(torch.linalg.eigvalsh(kernel(x).detach()).min()) > -1e-9


@pytest.mark.parametrize("kernel", sorted(KERNELS.keys() - FIXED), indirect=True)
def test_gradients_reach_what_a_kernel_learns(kernel):
    learned = [p for p in kernel.parameters() if p.requires_grad]
    assert learned
    gradients = torch.autograd.grad(kernel(inputs(5)).sum(), learned)
    assert all(g.isfinite() and g != 0 for g in gradients)


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("activation", get_args(Name))
def test_gradients_of_kernel_parameters_agree_with_finite_differences(activation, kind):
    kernel = MLPKernel(depth=2, activation=activation, kind=kind)
    x = inputs(4)
    learned = [kernel.w_std.raw, kernel.b_std.raw]
    found = torch.autograd.grad(kernel(x).sum(), learned)
    for parameter, gradient in zip(learned, found, strict=True):
        with torch.no_grad():
            parameter += 1e-5
            above = kernel(x).sum()
            parameter -= 2e-5
            below = kernel(x).sum()
            parameter += 1e-5
        assert float(gradient) == pytest.approx(float(above - below) / 2e-5, rel=1e-5)


@pytest.mark.parametrize("depth", [1, 4])
def test_the_mlp_kernel_is_the_double_loop(depth):
    a, b = inputs(6, 5), inputs(4, 5, seed=1)
    nngp, ntk = naive.mlp_kernel(a.double(), b.double(), depth, 1.4, 0.3, 0.8)
    for kind, expected in (("nngp", nngp), ("ntk", ntk)):
        found = MLPKernel(depth, kind=kind, w_std=1.4, b_std=0.3, last_w_std=0.8)(a, b)
        torch.testing.assert_close(found.detach(), expected, atol=1e-10, rtol=0)


def test_the_hierarchical_kernel_is_the_recursion_over_the_tree():
    a, b = inputs(4, 16), inputs(3, 16, seed=1)
    for sizes in ((2, 2, 2), (4, 2), (2,), (16,)):
        found = HierarchicalKernel(sizes, 16)(a, b)
        expected = [[naive.hierarchical_ntk(x, y, sizes) for y in b.double().tolist()] for x in a.double().tolist()]
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), atol=1e-10, rtol=0)


def test_the_rbf_kernel_is_its_formula():
    x, y = torch.randn(5, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    kernel = RBFKernel(1.7)
    for a, b in ((x, y), (x, x)):
        expected = [
            [math.exp(-sum((s - t) ** 2 for s, t in zip(u, v)) / (2 * 1.7**2)) for v in b.tolist()] for u in a.tolist()
        ]
        torch.testing.assert_close(kernel(a, b), torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(kernel(x), kernel(x, x))


def test_filters_that_do_not_divide_the_input_are_refused():
    with pytest.raises(ValueError, match="must divide"):
        HierarchicalKernel((3,), 16)


def test_problems_are_answered_together_as_one_by_one():
    x1, x2 = torch.randn(3, 6, 5), torch.randn(3, 4, 5)
    kernel = MLPKernel(depth=2)
    together = kernel(x1, x2), kernel(x1), kernel.diagonal(x1)
    for i in range(3):
        alone = kernel(x1[i], x2[i]), kernel(x1[i]), kernel.diagonal(x1[i])
        for whole, one in zip(together, alone, strict=True):
            torch.testing.assert_close(whole[i], one)


class Wide(nn.Module):
    """A network of finite width in the NTK parameterisation."""

    def __init__(self, sizes, w_std, b_std):
        super().__init__()
        self.weights = nn.ParameterList(nn.Parameter(torch.randn(n, m)) for m, n in pairwise(sizes))
        self.biases = nn.ParameterList(nn.Parameter(torch.randn(n)) for n in sizes[1:-1])
        self.w_std, self.b_std = w_std, b_std

    def forward(self, x):
        for w, b in zip(self.weights, self.biases, strict=False):
            x = torch.relu(self.w_std * x @ w.mT / math.sqrt(x.shape[-1]) + self.b_std * b)
        return x @ self.weights[-1].mT / math.sqrt(x.shape[-1])


def assert_mean(draws, expected):
    """Checks that independent draws have the mean `expected`, within four standard errors that are small themselves."""
    draws = torch.stack(draws).double()
    error = draws.std(0) / len(draws) ** 0.5
    assert float(error.max() / expected.max()) < 0.03
    assert float(((draws.mean(0) - expected).abs() / error).max()) < 4


def test_a_wide_network_has_the_tangent_kernel_of_the_theory():
    torch.manual_seed(0)
    x = inputs(5, 8)
    expected = MLPKernel(1, kind="ntk", w_std=1.4, b_std=0.3)(x).detach()
    found = [empirical_ntk(Wide([8, 4096, 1], 1.4, 0.3), x).double() for _ in range(12)]
    assert_mean(found, expected)
    assert float((found[0] - expected).norm() / expected.norm()) < 0.05


def test_an_empirical_kernel_is_the_product_of_jacobians():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    a, b = inputs(3, 3).double(), inputs(2, 3, seed=1).double()

    def jacobian(x):
        rows = []
        for c in range(2):
            gradients = torch.autograd.grad(net(x.unsqueeze(0))[0, c], [*net.parameters()])
            rows.append(torch.cat([g.flatten() for g in gradients]))
        return torch.stack(rows)

    expected = torch.tensor([[float((jacobian(x) * jacobian(y)).sum()) / 2 for y in b] for x in a]).double()
    torch.testing.assert_close(empirical_ntk(net, a, b), expected, atol=1e-6, rtol=0)


def test_an_empirical_kernel_counts_parameters_that_are_single_numbers():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.tensor(3.0))

        def forward(self, x):
            return self.gain * x

    a, b = inputs(3, 2), inputs(4, 2, seed=1)
    torch.testing.assert_close(empirical_ntk(Scaled(), a, b), a @ b.mT / 2)


class WithItsOwnGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    def backward(ctx, grad):
        return 2 * ctx.saved_tensors[0] * grad


class Squared(nn.Linear):
    def __init__(self, by_hand):
        super().__init__(3, 2)
        self.by_hand = by_hand
        self.unused = nn.Parameter(torch.zeros(2))

    def forward(self, x):
        x = super().forward(x)
        return WithItsOwnGradient.apply(x) if self.by_hand else x.square()


def test_an_empirical_kernel_takes_a_module_that_torch_func_cannot_transform():
    by_hand, plain = Squared(True), Squared(False)
    plain.load_state_dict(by_hand.state_dict())
    a, b = inputs(3, 3), inputs(2, 3, seed=1)
    torch.testing.assert_close(empirical_ntk(by_hand, a, b), empirical_ntk(plain, a, b))


def test_wide_random_networks_have_the_covariance_of_the_theory():
    torch.manual_seed(0)
    x = inputs(3, 8)
    draws = [Wide([8, 512, 512, 64], 1.4, 0.3)(x).detach() for _ in range(100)]  # of 64 outputs each
    expected = MLPKernel(2, w_std=1.4, b_std=0.3)(x).detach()
    assert_mean([draw @ draw.mT / 64 for draw in draws], expected)


def test_wide_convolutional_networks_have_the_covariance_of_the_theory():
    torch.manual_seed(0)
    x = torch.randn(3, *SHAPE)
    channels = 192

    def answer():
        w1, w2 = torch.randn(channels, 2, 3, 3), torch.randn(channels, channels, 3, 3)
        h = torch.relu(nn.functional.conv2d(x, 1.4 * w1 / math.sqrt(18), 0.3 * torch.randn(channels), padding=1))
        h = nn.functional.conv2d(h, 1.4 * w2 / math.sqrt(9 * channels), 0.3 * torch.randn(channels), padding=1)
        h = torch.relu(h).flatten(1)
        return h @ h.mT / h.shape[1]  # over all last layers at once

    expected = ConvKernel(SHAPE, depth=2, w_std=1.4, b_std=0.3)(x.flatten(1)).detach()
    assert_mean([answer() for _ in range(40)], expected)


def test_means_over_windows_count_zeros_beyond_the_edge():
    q = torch.randn(5, 4, 3, dtype=torch.float64)
    expected = nn.functional.avg_pool2d(q.movedim(2, 0), 3, stride=1, padding=1).movedim(0, 2)
    torch.testing.assert_close(box_mean(q, 3), expected)


def test_separate_learning_rates_change_the_tangent_kernel():
    x = inputs(4, 6).double()
    entered = inner_products(x / math.sqrt(6))
    whole = serial(Dense(1.4, 0.3), Activation(Relu()), Dense(1.2))(entered).matrix("ntk")
    spelled = serial(Dense(1.4, 0.3, w_rate=1.4**2, b_rate=0.3**2), Activation(Relu()), Dense(1.2, w_rate=1.2**2))
    torch.testing.assert_close(spelled(entered).matrix("ntk"), whole)
    last = serial(Dense(1.4, 0.3, w_rate=0, b_rate=0), Activation(Relu()), Dense(1.2))(entered)
    torch.testing.assert_close(last.matrix("ntk"), last.matrix("nngp"))  # the last layer alone learns: its features


@pytest.mark.parametrize("others", [None, 50])
def test_tiles_give_the_whole_matrix_and_stay_within_their_bound(others):
    x1, x2 = inputs(70, 6), None if others is None else inputs(others, 6, seed=1)
    kernel = MLPKernel(depth=2, learned=False)
    largest = 0

    def watched(a, b):
        nonlocal largest
        largest = max(largest, len(a), len(a if b is None else b))
        return kernel(a, b)

    memory = 16 * 8 * 24**2
    found = tiled(watched, x1.double(), None if x2 is None else x2.double(), memory=memory)
    torch.testing.assert_close(found, kernel(x1, x2), atol=1e-12, rtol=0)
    assert largest == block_size(memory, 16, 8) == 24


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_what_the_cpu_gives():
    x = inputs(40)
    torch.testing.assert_close(MLPKernel().cuda()(x.cuda()).cpu(), MLPKernel()(x))


@pytest.mark.parametrize(
    "make",
    [lambda: ConvKernel((32,)), lambda: ConvKernel(SHAPE, size=2), lambda: HierarchicalKernel((), 16)],
    ids=["not an image", "even window", "no filter"],
)
def test_sizes_that_make_no_sense_are_refused(make):
    with pytest.raises(ValueError):
        make()
