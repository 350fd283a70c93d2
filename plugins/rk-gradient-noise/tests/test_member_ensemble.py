"""Members of an ensemble are as independent as networks in processes of their own."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from rk_gradient_noise import naive
from rk_gradient_noise.clipping import ClipMembers, clip_members
from rk_gradient_noise.ensemble import DeepMLPEnsemble
from rk_gradient_noise.loss import MemberCrossEntropy
from rk_gradient_noise.noise import add_noise
from torch import nn
from torch.nn import functional

from rk import FitContext, Runtime, UserError
from rk.recipe.sections import Fit

MEMBERS, FEATURES, CLASSES, STEPS, LR, CLIP, STD = 3, 6, 4, 12, 0.2, 0.05, 0.03


def make(**settings):
    torch.manual_seed(1)
    settings = {"num_layers": 3, "hidden_size": 8, "init": "he", **settings}
    return DeepMLPEnsemble(FEATURES, CLASSES, MEMBERS, **settings).double()


def batch(i):
    random = torch.Generator().manual_seed(i)
    return torch.randn(7, FEATURES, generator=random).double(), torch.randint(CLASSES, (7,), generator=random)


def objective(model, i):
    inputs, targets = batch(i)
    return MemberCrossEntropy()(member_logits=model(inputs=inputs)["member_logits"], targets=targets)


def train(model, *, noise=False, clip=lambda grads: clip_members(grads, CLIP), change=lambda model: None):
    """Trains an ensemble as a recipe would; `change` tampers with it after every backward pass."""
    optimizer = torch.optim.SGD(model.parameters(), LR, momentum=0.9)
    drawn = []
    for i in range(STEPS):
        optimizer.zero_grad()
        total, count = objective(model, i)
        (total / count).backward()
        change(model)
        gradients = [p.grad for p in model.parameters()]
        clip(gradients)
        if noise:
            before = [g.clone() for g in gradients]
            add_noise(gradients, STD, 1, i)
            drawn.append([g - b for g, b in zip(gradients, before, strict=True)])
        optimizer.step()
    return drawn


def train_alone(network, k, drawn):
    """Trains one plain network with torch's own loss and clipping, and member k's share of the noise, if any."""
    optimizer = torch.optim.SGD(network.parameters(), LR, momentum=0.9)
    for i in range(STEPS):
        optimizer.zero_grad()
        inputs, targets = batch(i)
        functional.cross_entropy(network(inputs=inputs)["logits"], targets).backward()
        norm = nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        assert norm > CLIP, "clipping has something to do"
        if drawn:
            weights, biases = drawn[i][: len(drawn[i]) // 2], drawn[i][len(drawn[i]) // 2 :]
            for layer, weight, bias in zip(network.layers(), weights, biases, strict=True):
                layer.weight.grad += weight[k].T
                layer.bias.grad += bias[k, 0]
        optimizer.step()


@pytest.mark.parametrize("noise", [False, True], ids=["plain", "noise"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_a_member_is_what_it_would_be_if_it_were_trained_alone(noise, activation):
    model = make(activation=activation)
    alone = [model.member(k) for k in range(MEMBERS)]
    drawn = train(model, noise=noise)
    for k, network in enumerate(alone):
        start = network.head.weight.clone()
        train_alone(network, k, drawn)
        assert (network.head.weight - start).abs().max() > 0.01, "it has learned something"
        for found, expected in zip(model.member(k).parameters(), network.parameters(), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


def test_no_gradient_crosses_from_one_member_to_another():
    model = make()
    inputs, targets = batch(0)
    logits = model(inputs=inputs)["member_logits"]
    for k in range(MEMBERS):
        loss = functional.cross_entropy(logits[:, k], targets)
        for gradient in torch.autograd.grad(loss, list(model.parameters()), retain_graph=True):
            assert gradient[k].any()
            assert not gradient[torch.arange(MEMBERS) != k].any()


def spoil(model):
    """Makes the last member's gradient a thousand times as large."""
    for p in model.parameters():
        p.grad[-1] *= 1000


@pytest.mark.parametrize(
    ("clip", "others_change"),
    [(lambda grads: clip_members(grads, CLIP), False), (lambda grads: by_one_norm(grads), True)],
    ids=["clip-members", "by-one-norm"],
)
def test_members_are_independent_unless_one_norm_clips_them(clip, others_change):
    whole, spoiled = make(), make()
    train(whole, noise=True, clip=clip)
    train(spoiled, noise=True, clip=clip, change=spoil)
    same = all(torch.equal(a[:-1], b[:-1]) for a, b in zip(whole.parameters(), spoiled.parameters(), strict=True))
    assert same is not others_change


def by_one_norm(gradients):
    norm = torch.stack([g.norm() for g in gradients]).norm()
    for g in gradients:
        g.mul_((CLIP / norm).clamp(max=1))


@pytest.mark.parametrize("max_norm", [0.01, 1.0, 1e6])
def test_clipping_all_members_at_once_equals_clipping_one_by_one(max_norm):
    random = torch.Generator().manual_seed(0)
    gradients = [torch.randn(4, *shape, generator=random) for shape in ((3, 5), (1, 5), (2,), ())]
    gradients[0][2] *= 100
    slow = [g.clone() for g in gradients]
    norms = clip_members(gradients, max_norm)
    naive.clip_members(slow, max_norm)
    for fast, plain in zip(gradients, slow, strict=True):
        torch.testing.assert_close(fast, plain)
    after = torch.stack([torch.cat([g[k].flatten() for g in gradients]).norm() for k in range(4)])
    torch.testing.assert_close(after, norms.clamp(max=max_norm), rtol=1e-3, atol=0)


def test_the_loss_is_the_sum_of_the_members_means():
    model = make()
    inputs, targets = batch(0)
    total, count = objective(model, 0)
    alone = [functional.cross_entropy(model.member(k)(inputs=inputs)["logits"], targets) for k in range(MEMBERS)]
    torch.testing.assert_close(total / count, torch.stack(alone).sum())


MISTAKES = {
    "a mean over members": (
        MemberCrossEntropy,
        "__call__",
        'reduction="sum"), len',
        'reduction="sum") / member_logits.shape[1], len',
    ),
    "another's targets": (
        MemberCrossEntropy,
        "__call__",
        "targets.repeat_interleave(member_logits.shape[1])",
        "targets.repeat(member_logits.shape[1])",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_loss_is_noticed(plant, mistake):
    plant(*MISTAKES[mistake])
    with pytest.raises(AssertionError):
        test_the_loss_is_the_sum_of_the_members_means()


def test_a_member_is_a_copy_and_taking_it_draws_no_random_number():
    model = make()
    inputs, _ = batch(0)
    before = torch.get_rng_state()
    network = model.member(1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(network(inputs=inputs)["logits"], model(inputs=inputs)["member_logits"][:, 1])
    nn.init.zeros_(network.head.weight)
    assert model.weights[-1][1].any()


def test_the_ensemble_answers_with_the_mean_of_its_members_probabilities():
    model = make()
    inputs, _ = batch(0)
    answer = model.predict(inputs=inputs)
    expected = answer["member_logits"].softmax(-1).mean(1)
    torch.testing.assert_close(answer["logits"].exp(), expected)
    torch.testing.assert_close(expected.sum(-1), torch.ones(7).double())


def context(**fit):
    return FitContext(SimpleNamespace(fit=Fit(**fit)), Path(), None, nn.Identity(), None, Runtime())


def test_clipping_twice_is_refused():
    ClipMembers(1.0).fit_start(context())
    with pytest.raises(UserError, match=r"fit\.gradient_clip clips all members by one norm"):
        ClipMembers(1.0).fit_start(context(gradient_clip=10.0))


def test_a_network_without_members_is_refused():
    with pytest.raises(UserError, match="members as their first dimension") as error:
        ClipMembers(1.0).before_update([*nn.Linear(3, 4).parameters(), *nn.Linear(4, 2).parameters()])
    assert "fit.gradient_clip is enough" in error.value.hint


def test_frozen_members_stay_without_a_gradient():
    params = [nn.Parameter(torch.ones(2, 3)), nn.Parameter(torch.ones(2))]
    ClipMembers(1.0).before_update(params)
    assert all(p.grad is None for p in params)
    params[0].grad = torch.ones(2, 3)
    ClipMembers(1.0).before_update(params)
    torch.testing.assert_close(params[0].grad.norm(dim=1), torch.ones(2), rtol=1e-5, atol=0)
