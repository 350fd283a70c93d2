"""The callback `gradient-noise` follows Eq. 1, and does nothing else."""

from __future__ import annotations

import math
from itertools import accumulate
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from rk_gradient_noise import naive, noise
from rk_gradient_noise.callback import GradientNoise
from rk_gradient_noise.noise import add_noise, variance
from torch import distributed, nn
from torch.distributed.tensor import Shard, distribute_tensor, init_device_mesh

from rk import FitContext, Runtime, UserError
from rk.builtin.optimizers import SGD, Adam
from rk.recipe.sections import Fit
from rk.sampling import generator

PLAIN = SGD(lr=0.1)


class Loop:
    """The part of a run that callbacks see, without a run: one step per call, with the gradients that it is given.

    Args:
        learner: Whose parameters are trained.
        optimizer: How.
        seed: Seeds the noise.
        settings: Those of the callback.
    """

    def __init__(self, learner, optimizer=PLAIN, clip=None, log_every=1, seed=7, runtime=None, **settings):
        self.learner = learner
        self.runtime = runtime or Runtime(gradient_clip=clip)
        self.optimizer = self.runtime.optimizer(optimizer, learner.parameters())
        self.noise = GradientNoise(seed, **settings)
        recipe = SimpleNamespace(fit=Fit(log_every=log_every))
        self.fit = FitContext(recipe, Path(), None, learner, SimpleNamespace(), self.runtime)
        self.noise.fit_start(self.fit)
        self.runtime.before_update.append(self.noise.before_update)

    def step(self, gradients=None):
        """Takes a step with these gradients (zero by default); returns those that reached the optimizer."""
        seen = []
        self.runtime.before_update.append(
            lambda params: seen.extend(None if p.grad is None else p.grad.clone() for p in params)
        )
        for i, p in enumerate(self.learner.parameters()):
            p.grad = torch.zeros_like(p) if gradients is None else gradients[i]
        self.runtime.update(self.optimizer)
        self.runtime.before_update.pop()
        self.fit.step += 1
        self.noise.after_step(self.fit)
        return seen


def wide(n=200_000):
    learner = nn.Module()
    learner.weight = nn.Parameter(torch.zeros(n))
    return learner


@pytest.mark.parametrize(
    ("step", "eta", "gamma", "expected"),
    [(0, 0.01, 0.55, 0.01), (99, 1.0, 0.55, 100**-0.55), (3, 0.3, 1.0, 0.075), (1000, 1e-6, 0.0, 1e-6)],
    ids=["at-first-eta", "paper", "by-hand", "gamma-0-is-constant"],
)
def test_eq_1_is_a_variance(step, eta, gamma, expected):
    assert variance(step, eta, gamma) == pytest.approx(expected)


@pytest.mark.parametrize("step", [0, 9, 999])
def test_the_gradient_gets_normal_noise_of_that_variance(step):
    loop = Loop(wide(), eta=0.01)
    loop.fit.step = step
    (noise,) = loop.step()
    std = math.sqrt(0.01 / (1 + step) ** 0.55)
    standard = noise / std
    n = len(noise)
    assert abs(standard.mean()) < 4 / math.sqrt(n)
    assert standard.std() == pytest.approx(1.0, abs=4 / math.sqrt(2 * n))
    assert (standard.abs() < 1).float().mean() == pytest.approx(math.erf(1 / math.sqrt(2)), abs=4 * 0.47 / math.sqrt(n))
    assert standard.square().square().mean() == pytest.approx(3.0, abs=4 * math.sqrt(96 / n))


def test_without_a_gradient_the_weights_walk_as_far_as_the_variances_add_up():
    lr, eta, gamma, steps = 0.1, 0.05, 0.55, 50
    loop = Loop(wide(20_000), SGD(lr=lr), eta=eta, gamma=gamma)
    for _ in range(steps):
        loop.step()
    expected = lr**2 * sum(eta / (1 + t) ** gamma for t in range(steps))
    assert float(loop.learner.weight.detach().var()) == pytest.approx(expected, rel=0.05)


def test_it_is_added_after_clipping():
    gradient = torch.full((1000,), 3.0)
    noisy, quiet = Loop(wide(1000), clip=1.0, eta=1.0), Loop(wide(1000), clip=1.0, eta=1.0)
    (seen,), (noise,) = noisy.step([gradient.clone()]), quiet.step()
    torch.testing.assert_close(seen - noise, gradient / gradient.norm(), rtol=0, atol=1e-5)
    assert seen.norm() > 25, "the noise itself is not clipped"


def test_t_counts_steps_of_the_optimizer_not_micro_batches():
    loop = Loop(wide(), runtime=Runtime(accumulate=2), eta=0.04)
    for _ in range(3):
        for loop.runtime.micro_batch in range(2):
            loop.learner.weight.grad = torch.zeros(200_000)
            loop.runtime._pending = {"loss": 1}
            loop.runtime.update(loop.optimizer)
        loop.fit.step += 1
        loop.noise.after_step(loop.fit)
    expected = 0.1**2 * sum(0.04 / (1 + t) ** 0.55 for t in range(3))
    assert float(loop.learner.weight.detach().var()) == pytest.approx(expected, rel=0.02)


def test_any_optimizer_takes_it():
    loop = Loop(wide(100), Adam(lr=0.01), eta=1.0)
    loop.step()
    assert 0 < loop.learner.weight.abs().max() <= 0.0101  # Adam's first step is its rate, whatever the gradient


def test_the_noise_is_a_function_of_seed_and_step_alone():
    first, again, other = Loop(wide(50)), Loop(wide(50)), Loop(wide(50), seed=8)
    one = [first.step()[0] for _ in range(3)]
    assert not torch.equal(one[0], one[1] * math.sqrt(2**0.55)), "each step draws new noise"
    assert not torch.equal(one[0], other.step()[0])
    again.fit.step = 2  # as after a resume
    assert torch.equal(again.step()[0], one[2])


def test_no_other_random_number_of_the_run_changes():
    loop = Loop(wide(50))
    before = torch.get_rng_state()
    loop.step()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture
def process_group():
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def as_rank(rank, learner):
    loop = Loop(learner, eta=1.0)
    loop.runtime.rank = rank
    (noise,) = loop.step()
    return noise


def test_all_processes_draw_the_same(process_group):
    assert torch.equal(as_rank(0, wide(50)), as_rank(1, wide(50)))


def test_processes_that_share_a_tensor_draw_for_their_shards_alone(process_group):
    mesh = init_device_mesh("cpu", (1,))
    shards = []
    for rank in (0, 1):
        learner = nn.Module()
        learner.weight = nn.Parameter(distribute_tensor(torch.zeros(10_000), mesh, [Shard(0)]))
        shards.append(as_rank(rank, learner).to_local())
    assert abs(torch.corrcoef(torch.stack(shards))[0, 1]) < 0.04
    assert torch.stack(shards).std() == pytest.approx(1.0, abs=0.03)


def test_two_optimizers_of_one_step_draw_different_noise_of_the_same_strength():
    loop, second = Loop(wide(), eta=1.0), wide()
    other = loop.runtime.optimizer(SGD(lr=0.1), second.parameters())
    second.weight.grad = torch.zeros(200_000)
    loop.runtime.update(other)
    (noise,) = loop.step()
    drawn = second.weight.detach() / -0.1
    assert drawn.std() == pytest.approx(1.0, abs=0.01) and noise.std() == pytest.approx(1.0, abs=0.01)
    assert abs(torch.corrcoef(torch.stack([drawn, noise]))[0, 1]) < 0.01


def test_parameters_without_a_gradient_stay_without():
    learner = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    before = [p.clone() for p in learner.parameters()]
    loop = Loop(learner)
    seen = loop.step([None, None, torch.zeros(4, 4), torch.zeros(4)])
    assert [g is None for g in seen] == [True, True, False, False]
    assert [torch.equal(p, b) for p, b in zip(learner.parameters(), before, strict=True)] == [True, True, False, False]
    assert all(g is None for g in loop.step([None] * 4))


def test_only_the_named_parameters_get_it():
    learner = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    seen = Loop(learner, parameters=r"^1\..*weight").step()
    assert [bool(g.any()) for g in seen] == [False, False, True, False]


def test_it_acts_from_start_step_until_stop_step():
    loop = Loop(wide(10), start_step=1, stop_step=3)
    assert [bool(loop.step()[0].any()) for _ in range(4)] == [False, True, True, False]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_every_dtype_has_its_own_noise(dtype):
    learner = wide(100_000)
    learner.other = nn.Parameter(torch.zeros(100_000, dtype=dtype))
    noise, other = Loop(learner, eta=1.0).step()
    assert other.dtype == dtype and other.float().std() == pytest.approx(1.0, abs=0.02)
    assert abs(torch.corrcoef(torch.stack([noise, other.float()]))[0, 1]) < 0.015


SHAPES = [(50, 64), (16,), (4, 3, 8), (32, 1)]
"""Sizes that 16 divides: torch then draws tensor after tensor the numbers that it draws at once."""


def test_the_fused_form_is_the_naive_one():
    gradients = [torch.randn(shape) for shape in SHAPES]
    slow = [g.clone() for g in gradients]
    key = (3, 1, 4)
    (drawn,) = add_noise(gradients, 0.5, *key)
    naive.add_noise(slow, 0.5, torch.Generator().manual_seed(generator(*key, 0).initial_seed()))
    for fast, plain in zip(gradients, slow, strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-6, atol=1e-6)
    assert drawn.shape == (sum(math.prod(shape) for shape in SHAPES),)


MISTAKES = {
    "schedule: eta over t to the gamma": (noise, "variance", "(1 + step)", "max(1, step)"),
    "schedule: a deviation": (noise, "variance", "** gamma", "** (2 * gamma)"),
    "walk: a variance for a deviation": (
        GradientNoise,
        "before_update",
        "math.sqrt(variance(step, self.eta, self.gamma))",
        "variance(step, self.eta, self.gamma)",
    ),
    "walk: the same noise each step": (GradientNoise, "before_update", "_STREAM, step,", "_STREAM, 0,"),
    "walk: t does not move": (GradientNoise, "before_update", "variance(step, ", "variance(0, "),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_noticed(plant, mistake):
    plant(*MISTAKES[mistake])
    with pytest.raises(AssertionError):
        if mistake.startswith("walk"):
            test_without_a_gradient_the_weights_walk_as_far_as_the_variances_add_up()
        else:
            for step, eta, gamma, expected in (
                (0, 0.01, 0.55, 0.01),
                (99, 1.0, 0.55, 100**-0.55),
                (3, 0.3, 1.0, 0.075),
            ):
                assert noise.variance(step, eta, gamma) == pytest.approx(expected)


def test_tensors_of_any_shape_and_layout_share_one_draw():
    shapes = [(3, 5), (1,), (), (7,), (0, 2)]
    gradients = [torch.zeros(shape) for shape in shapes]
    gradients.append(torch.zeros(4, 6).t())
    (drawn,) = add_noise(gradients, 1.0, 5)
    ends = list(accumulate(g.numel() for g in gradients))
    for gradient, end in zip(gradients, ends, strict=True):
        assert torch.equal(gradient.flatten(), drawn[end - gradient.numel() : end])
    assert ends[-1] == len(drawn)


def test_it_logs_the_strength_and_the_ratio_to_the_gradient_when_the_run_logs():
    loop = Loop(wide(10_000), eta=0.09, log_every=2)
    gradient = torch.full((10_000,), 0.03)
    loop.step([gradient.clone()])
    assert loop.fit.logged == {}
    loop.step([gradient.clone()])
    std = math.sqrt(0.09 / 2**0.55)
    assert loop.fit.logged["noise-std"] == pytest.approx(std)
    assert float(loop.fit.logged["noise-ratio"]) == pytest.approx(std / 0.03, rel=0.03)


def test_the_ratio_to_a_gradient_of_zero_is_a_number():
    loop = Loop(wide(10))
    loop.step()
    assert math.isfinite(loop.fit.logged["noise-ratio"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"parameters": "(head"}, "not a regular expression"),
        ({"start_step": 5, "stop_step": 5}, "no step with noise"),
    ],
    ids=["regex", "empty-span"],
)
def test_impossible_settings_are_the_recipes_mistake(settings, message):
    with pytest.raises(ValueError, match=message):
        GradientNoise(seed=0, **settings)


def test_a_pattern_without_a_match_names_the_parameters():
    with pytest.raises(UserError, match="'haed' matches") as error:
        Loop(nn.Linear(2, 2), parameters="haed")
    assert error.value.hint == "parameters: weight, bias"


def test_a_trainer_without_optimizer_is_refused():
    runtime = Runtime()
    fit = FitContext(SimpleNamespace(fit=Fit()), Path(), None, nn.Linear(2, 2), SimpleNamespace(), runtime)
    with pytest.raises(UserError, match="has no optimizer"):
        GradientNoise(seed=0).fit_start(fit)


def test_sparse_gradients_are_refused_unless_left_out():
    learner = nn.Embedding(5, 2, sparse=True)
    loop = Loop(learner)
    sparse = torch.sparse_coo_tensor([[1]], [[1.0, 2.0]], (5, 2), check_invariants=True)
    with pytest.raises(UserError, match="sparse"):
        loop.step([sparse])
    both = nn.ModuleDict({"embedding": learner, "head": nn.Linear(2, 2)})
    seen = Loop(both, parameters="head").step([sparse, torch.zeros(2, 2), torch.zeros(2)])
    assert seen[0].is_sparse and seen[1].any() and seen[2].any()
