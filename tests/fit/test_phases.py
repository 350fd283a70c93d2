"""Optimizers of phases, of inner loops, and of several updates in a step."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from rk.builtin.optimizers import SGD, Adam
from rk.builtin.schedules import Cosine, Linear
from rk.errors import RunFailed, UserError
from rk.fit.runtime import Runtime


def make(accumulate=1, schedule=None, factory=SGD, **settings):
    torch.manual_seed(0)
    module = nn.Linear(3, 2).double()
    runtime = Runtime(accumulate=accumulate, **settings)
    runtime.setup(module)
    chosen = {} if schedule is None else {"schedule": schedule}
    return module, runtime, factory(lr=0.1, **chosen)


def loss(module, n=4, seed=1):
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return module(x).square().sum(), n


def rate(optimizer):
    return optimizer.param_groups[0]["lr"]


# -- schedules ---------------------------------------------------------------------------------------------------------


def test_a_schedule_follows_the_steps_however_many_updates_a_step_makes():
    module, runtime, factory = make(schedule=Cosine(), total_steps=4)
    optimizer = runtime.optimizer(factory, module.parameters())
    rates = []
    for runtime.step in range(4):
        for _ in range(5):
            runtime.backward(loss(module))
            runtime.update(optimizer)
            rates.append(rate(optimizer))
    plain = [0.1 * (1 + math.cos(math.pi * i / 3)) / 2 for i in range(4)]
    assert rates == pytest.approx([r for r in plain for _ in range(5)], abs=1e-9)


def test_an_optimizer_that_updates_rarely_reaches_the_end_of_its_schedule():
    module, runtime, factory = make(schedule=Linear(end=0.0), total_steps=10)
    optimizer = runtime.optimizer(factory, module.parameters())
    for runtime.step in range(10):
        if runtime.step % 3 == 0:
            runtime.backward(loss(module))
            runtime.update(optimizer)
    assert rate(optimizer) == pytest.approx(0.0)


def test_a_phase_has_a_schedule_of_its_own_length():
    module, runtime, factory = make(schedule=Linear(end=0.0), total_steps=100)
    runtime.step = 40
    optimizer = runtime.optimizer(factory, module.parameters(), name="layer-2", updates=3)
    rates = []
    for _ in range(4):  # one more than announced: the rate stays at its end
        runtime.backward(loss(module))
        runtime.update(optimizer)
        rates.append(rate(optimizer))
    assert rates == pytest.approx([0.1, 0.05, 0.0, 0.0])


# -- inner loops -------------------------------------------------------------------------------------------------------


def test_whole_updates_are_made_at_each_call_whatever_is_accumulated():
    found = []
    for accumulate, whole in ((1, False), (2, True)):
        module, runtime, factory = make(accumulate=accumulate)
        optimizer = runtime.optimizer(factory, module.parameters())
        for runtime.micro_batch in range(accumulate):
            for i in range(20 * runtime.micro_batch // accumulate, 20 * (runtime.micro_batch + 1) // accumulate):
                runtime.backward(loss(module, n=2 + i % 3, seed=i))
                runtime.update(optimizer, whole=whole)
        assert runtime._managed[0].updates == 20
        found.append(module.weight)
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-14)


def test_an_inner_loop_leaves_the_outer_optimizers_accumulation_alone():
    inner, runtime, factory = make(accumulate=2)
    outer = nn.Linear(3, 2).double()
    naive = nn.Linear(3, 2).double()
    naive.load_state_dict(outer.state_dict())
    inner_optimizer = runtime.optimizer(factory, inner.parameters())
    outer_optimizer = runtime.optimizer(factory, outer.parameters())
    for runtime.micro_batch in range(2):
        for _ in range(3):
            runtime.backward(loss(inner))
            runtime.update(inner_optimizer, whole=True)
        runtime.backward(loss(outer, n=2 + runtime.micro_batch, seed=runtime.micro_batch))
        runtime.update(outer_optimizer)
    sums = [loss(naive, n=2 + i, seed=i) for i in range(2)]
    (sum(total for total, _ in sums) / sum(n for _, n in sums)).backward()
    torch.testing.assert_close(outer.weight, naive.weight - 0.1 * naive.weight.grad)


def test_one_objective_is_counted_for_every_optimizer_that_learns_from_it():
    def trained(accumulate, parts):
        module, runtime, factory = make(accumulate=accumulate)
        optimizers = [runtime.optimizer(factory, [p]) for p in (module.weight, module.bias)]
        for runtime.micro_batch, (n, seed) in enumerate(parts):
            runtime.backward(loss(module, n, seed))
            for optimizer in optimizers:
                runtime.update(optimizer)
        return module

    cut = trained(2, [(3, 1), (5, 2)])
    naive = make()[0]
    sums = [loss(naive, 3, 1), loss(naive, 5, 2)]
    (sum(total for total, _ in sums) / 8).backward()
    torch.testing.assert_close(cut.weight, naive.weight - 0.1 * naive.weight.grad)
    torch.testing.assert_close(cut.bias, naive.bias - 0.1 * naive.bias.grad)


def test_two_objectives_of_two_optimizers_are_normalised_each_by_its_own_count():
    first, runtime, factory = make(accumulate=2)
    second = nn.Linear(3, 2).double()
    naive = [nn.Linear(3, 2).double() for _ in range(2)]
    for copy, module in zip(naive, (first, second), strict=True):
        copy.load_state_dict(module.state_dict())
    optimizers = [runtime.optimizer(factory, module.parameters()) for module in (first, second)]
    for runtime.micro_batch in range(2):
        for name, module, optimizer, n in zip("ab", (first, second), optimizers, (2, 7), strict=True):
            runtime.backward({name: loss(module, n, seed=runtime.micro_batch)})
            runtime.update(optimizer)
    for module, copy, n in zip((first, second), naive, (2, 7), strict=True):
        (sum(loss(copy, n, seed)[0] for seed in range(2)) / (2 * n)).backward()
        torch.testing.assert_close(module.weight, copy.weight - 0.1 * copy.weight.grad)


# -- names -------------------------------------------------------------------------------------------------------------


def phases(steps, start=0, state=None, weights=None):
    """Trains two layers one after the other, each with an optimizer of its own that a step makes."""
    torch.manual_seed(0)
    module = nn.ModuleList([nn.Linear(3, 2), nn.Linear(3, 2)]).double()
    runtime = Runtime(total_steps=8)
    runtime.setup(module)
    if weights is not None:
        module.load_state_dict(weights)
        runtime.load_state_dict(state)
    optimizers = {}
    for runtime.step in range(start, steps):
        k = runtime.step // 4
        if k not in optimizers:
            factory = Adam(lr=0.1, schedule=Linear(end=0.0))
            optimizers[k] = runtime.optimizer(factory, module[k].parameters(), name=f"layer-{k}", updates=4)
        runtime.backward(loss(module[k], seed=runtime.step))
        runtime.update(optimizers[k])
    return module, runtime


@pytest.mark.parametrize("stopped", [1, 4, 6])
def test_an_optimizer_of_a_step_resumes_where_it_was(stopped):
    whole, _ = phases(8)
    half, runtime = phases(stopped)
    state = {k: v.clone() for k, v in half.state_dict().items()}
    resumed, _ = phases(8, stopped, runtime.state_dict(), state)
    for one, other in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(one, other)


def test_states_that_wait_for_their_optimizer_are_stored_again():
    _, runtime = phases(6)
    later = Runtime()
    later.load_state_dict(runtime.state_dict())
    assert later.state_dict()["updates"] == {"layer-0": 4, "layer-1": 2}


def test_checkpoints_of_earlier_versions_have_their_optimizers_in_order():
    module, runtime, factory = make(factory=Adam)
    optimizer = runtime.optimizer(factory, module.parameters())
    runtime.backward(loss(module))
    runtime.update(optimizer)
    state = runtime.state_dict()
    old = {"optimizers": [state["optimizers"]["0"]], "updates": [1]}
    other, later, factory = make(factory=Adam)
    later.optimizer(factory, other.parameters())
    later.load_state_dict(old)
    assert later.state_dict()["updates"] == {"0": 1}


def test_an_optimizer_of_a_step_without_a_name_is_refused():
    module, runtime, factory = make()
    runtime.step = 0
    with pytest.raises(UserError, match="must have a name") as caught:
        runtime.optimizer(factory, module.parameters())
    assert 'name="layer-2"' in caught.value.hint


def test_a_name_that_is_used_again_starts_fresh():
    module, runtime, factory = make(factory=Adam)
    for _ in range(2):
        optimizer = runtime.optimizer(factory, module.parameters(), name="inner")
        runtime.backward(loss(module))
        runtime.update(optimizer)
    assert runtime.state_dict()["updates"] == {"inner": 1}


def test_another_optimizer_than_the_checkpoints_is_named():
    module, runtime, factory = make(factory=Adam)
    optimizer = runtime.optimizer(factory, module.parameters(), name="decoder")
    runtime.backward(loss(module))
    runtime.update(optimizer)
    state = runtime.state_dict()
    _, later, factory = make(factory=Adam)
    later.optimizer(factory, module.parameters(), name="decodr")
    with pytest.raises(RunFailed, match="no state of the optimizer 'decodr'") as caught:
        later.load_state_dict(state)
    assert "did you mean decoder?" in caught.value.hint
    _, later, factory = make(factory=Adam)
    later.optimizer(factory, [module.weight], name="decoder")
    with pytest.raises(RunFailed, match="'decoder' had other parameters"):
        later.load_state_dict(state)


# -- sparse gradients --------------------------------------------------------------------------------------------------


def sparse(**settings):
    module = nn.Embedding(10, 3, sparse=True)
    runtime = Runtime(**settings)
    runtime.setup(module)
    return module, runtime


@pytest.mark.parametrize(
    ("settings", "factory", "said"),
    [
        ({"gradient_clip": 1.0}, SGD(lr=0.1), "fit.gradient_clip cannot take sparse gradients"),
        ({}, Adam(lr=0.1), "the optimizer Adam cannot take sparse gradients"),
        ({}, SGD(lr=0.1, weight_decay=0.1), "the optimizer SGD cannot take sparse gradients"),
    ],
)
def test_a_part_that_takes_no_sparse_gradient_is_named(settings, factory, said):
    module, runtime = sparse(**settings)
    optimizer = runtime.optimizer(factory, module.parameters())
    runtime.backward((module(torch.tensor([1, 2])).sum(), 2))
    with pytest.raises(UserError, match=said):
        runtime.update(optimizer)


def test_sparse_gradients_are_taken_by_plain_sgd_and_accumulated():
    module, runtime = sparse(accumulate=2)
    before = module.weight.detach().clone()
    optimizer = runtime.optimizer(SGD(lr=1.0), module.parameters())
    for runtime.micro_batch in range(2):
        runtime.backward((module(torch.tensor([1])).sum(), 1))
        runtime.update(optimizer)
    torch.testing.assert_close(module.weight[1], before[1] - 1)


def test_another_error_of_an_optimizer_stays_what_it_is():
    class Broken(torch.optim.SGD):
        def step(self, closure=None):
            raise RuntimeError("out of luck")

    def factory(params):
        return Broken(params, lr=1.0)

    factory.schedule = None
    module, runtime, _ = make()
    optimizer = runtime.optimizer(factory, module.parameters())
    runtime.backward(loss(module))
    with pytest.raises(RuntimeError, match="out of luck"):
        runtime.update(optimizer)
