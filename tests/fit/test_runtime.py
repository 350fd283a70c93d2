"""Gradients are normalised by what they are sums over, however the batch is cut up."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rk.builtin.optimizers import SGD, AdamW
from rk.builtin.schedules import Linear
from rk.errors import UserError
from rk.fit.runtime import Runtime


def make(accumulate=1, **settings):
    torch.manual_seed(0)
    module = nn.Linear(3, 2).double()
    runtime = Runtime(accumulate=accumulate, **settings)
    runtime.setup(module)
    return module, runtime, runtime.optimizer(SGD(lr=0.1), module.parameters())


def ragged(sizes):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in sizes]


def one_term(module, x):
    return module(x).square().sum(), len(x)


def two_terms(module, x):
    """Terms with counts of their own, in no fixed ratio: rows, and positive entries."""
    out = module(x)
    positive = out > 0
    return {"square": (out.square().sum(), len(x)), "positive": ((out * positive).sum(), positive.sum())}


@pytest.mark.parametrize("objective", [one_term, two_terms])
def test_accumulating_ragged_micro_batches_equals_the_whole_batch_at_once(objective):
    parts = ragged([5, 1, 3, 2])
    module, runtime, optimizer = make()
    runtime.backward(objective(module, torch.cat(parts)))
    runtime.update(optimizer)

    cut, runtime, optimizer = make(accumulate=len(parts))
    for runtime.micro_batch, part in enumerate(parts):
        runtime.backward(objective(cut, part))
        runtime.update(optimizer)

    torch.testing.assert_close(cut.weight, module.weight, rtol=1e-12, atol=1e-14)
    naive, plain = make()[0], torch.optim.SGD
    optimizer = plain(naive.parameters(), lr=0.1)
    for part in parts:  # what a mean per micro-batch would give is something else
        sum(t / c for t, c in _terms(objective(naive, part))).div(len(parts)).backward()
    optimizer.step()
    assert not torch.allclose(naive.weight, module.weight, rtol=1e-6)


def _terms(objective):
    return objective.values() if isinstance(objective, dict) else [objective]


def test_an_update_waits_for_the_last_micro_batch():
    module, runtime, optimizer = make(accumulate=2)
    before = module.weight.clone()
    runtime.micro_batch = 0
    runtime.backward(one_term(module, ragged([4])[0]))
    runtime.update(optimizer)
    assert torch.equal(module.weight, before)
    runtime.micro_batch = 1
    runtime.backward(one_term(module, ragged([4])[0]))
    runtime.update(optimizer)
    assert not torch.equal(module.weight, before)


def test_the_logged_loss_is_the_sum_of_the_terms_means():
    module, runtime, _ = make()
    x = ragged([6])[0]
    terms = two_terms(module, x)
    logs = runtime.backward(terms)
    assert logs["loss"].item() == pytest.approx(sum(t.item() / int(c) for t, c in terms.values()))
    assert not any(value.requires_grad for value in logs.values())


def test_an_empty_batch_moves_nothing():
    module, runtime, optimizer = make()
    before = module.weight.clone()
    runtime.backward((module(torch.zeros(0, 3, dtype=torch.float64)).sum(), 0))
    runtime.update(optimizer)
    assert torch.equal(module.weight, before)


def test_before_update_sees_clipped_gradients():
    module, runtime, optimizer = make(gradient_clip=1e-3)
    seen = []
    runtime.before_update.append(lambda params: seen.append(torch.cat([p.grad.flatten() for p in params]).norm()))
    runtime.backward(one_term(module, ragged([4])[0]))
    runtime.update(optimizer)
    assert seen[0].item() == pytest.approx(1e-3, rel=1e-3)


def test_the_schedule_reaches_its_end_at_the_last_update():
    module = nn.Linear(1, 1)
    runtime = Runtime(total_steps=5)
    optimizer = runtime.optimizer(SGD(lr=1.0, schedule=Linear(end=0.2)), module.parameters())
    rates = []
    for _ in range(5):
        runtime.backward((module(torch.ones(1, 1)).sum(), 1))
        runtime.update(optimizer)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])


def test_a_schedule_of_unknown_length_is_refused_with_what_to_give():
    with pytest.raises(UserError, match="how long the run is"):
        Linear()(1.0, 0, None)


def test_weights_that_are_marked_do_not_decay():
    module = nn.Linear(3, 2).double()
    module.bias.no_weight_decay = True
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    runtime = Runtime()
    runtime.setup(module)
    optimizer = runtime.optimizer(AdamW(lr=0.1, weight_decay=0.5), module.parameters())
    runtime.backward((0.0 * sum(p.sum() for p in module.parameters()), 1))  # no gradient: what moves is decay
    runtime.update(optimizer)
    torch.testing.assert_close(module.weight, before["weight"] * 0.95)
    assert torch.equal(module.bias, before["bias"])


def test_optimizers_are_not_made_for_a_run_that_is_only_loaded():
    assert Runtime(training=False).optimizer(SGD(lr=1.0), nn.Linear(1, 1).parameters()) is None


def test_batches_of_a_split_that_the_data_does_not_have_are_refused():
    class Task:
        splits = ("train", "val")

    with pytest.raises(UserError, match="the data has no split 'vaal'") as error:
        next(Runtime().batches(Task(), "vaal", limit=1))
    assert error.value.hint == "did you mean val? (splits: train, val)"
