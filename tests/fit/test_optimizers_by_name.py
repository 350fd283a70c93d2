"""Several optimizers, chosen by the names of what they train; rates of single parameters; a norm over all of them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rk.builtin.optimizers import SGD, Adam
from rk.errors import RunFailed, UserError
from rk.fit.runtime import Runtime


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = nn.ModuleDict({"body": nn.Linear(2, 2), "head": nn.Linear(2, 1)})


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net()


def names(net, optimizer):
    mine = {id(p) for group in optimizer.param_groups for p in group["params"]}
    return {name for name, p in net.named_parameters() if id(p) in mine}


def test_the_first_pattern_that_matches_counts_and_the_learners_model_may_be_left_out(net):
    runtime = Runtime()
    head, rest = runtime.optimizers({"head.*": SGD(lr=1.0), "*": Adam()}, net)
    assert names(net, head) == {"model.head.weight", "model.head.bias"}
    assert names(net, rest) == {"model.body.weight", "model.body.bias"}
    assert runtime.made_optimizers().keys() == {"head.*", "*"}


@pytest.mark.parametrize(
    ("patterns", "said"),
    [(["head.*"], "no optimizer is for the parameter model.body.weight"), (["haed.*", "*"], "'haed.\\*' has no param")],
)
def test_every_parameter_has_an_optimizer_and_every_optimizer_a_parameter(net, patterns, said):
    with pytest.raises(UserError, match=said):
        Runtime().optimizers({pattern: SGD(lr=1.0) for pattern in patterns}, net)


def test_frozen_weights_need_no_optimizer(net):
    net.model["body"].requires_grad_(False)
    assert len(Runtime().optimizers({"head.*": SGD(lr=1.0)}, net)) == 1


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_norm_is_clipped_over_the_parameters_of_all_optimizers_of_an_update(net, accumulate):
    runtime = Runtime(gradient_clip=0.5, accumulate=accumulate)
    optimizers = runtime.optimizers({"head.*": SGD(lr=1.0), "*": SGD(lr=1.0)}, net)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    for runtime.micro_batch in range(accumulate):
        x = torch.ones(3, 2)
        runtime.backward((net.model["head"](net.model["body"](x)).square().sum() * 100, 3))
        runtime.update(*optimizers)
    moved = torch.cat([(p.detach() - before[name]).flatten() for name, p in net.named_parameters()])
    assert moved.norm().item() == pytest.approx(0.5, rel=1e-4)


def test_a_parameter_may_scale_its_learning_rate(net):
    net.model["head"].weight.lr_scale = 0.1
    net.model["body"].bias.no_weight_decay = True
    optimizer = Runtime().optimizer(SGD(lr=0.5, weight_decay=0.2), net.parameters())
    found = {(group["lr"], group["weight_decay"], len(group["params"])) for group in optimizer.param_groups}
    assert found == {(0.5, 0.2, 2), (0.05, 0.2, 1), (0.5, 0.0, 1)}


def test_callbacks_see_gradients_by_name_before_they_are_clipped(net):
    runtime = Runtime(gradient_clip=1e-3)
    runtime.names = {id(p): name for name, p in net.named_parameters()}
    seen = {}

    def mask(named):
        seen.update({name: p.grad.norm().item() for name, p in named.items()})
        named["model.head.weight"].grad.zero_()

    runtime.before_clip.append(mask)
    optimizer = runtime.optimizer(SGD(lr=1.0), net.parameters())
    before = net.model["head"].weight.detach().clone()
    runtime.backward((net.model["head"](net.model["body"](torch.ones(3, 2))).square().sum() * 100, 3))
    runtime.update(optimizer)
    assert seen.keys() == dict(net.named_parameters()).keys() and seen["model.head.weight"] > 1
    assert torch.equal(net.model["head"].weight, before)


@pytest.mark.parametrize("scale", ["x", -1.0, float("nan"), float("inf"), None])
def test_a_scale_that_is_not_a_factor_of_a_rate_is_refused(net, scale):
    net.model["head"].weight.lr_scale = scale
    with pytest.raises(RunFailed, match=r"lr_scale of a parameter of shape \(1, 2\) must be a number >= 0, got"):
        Runtime().optimizer(SGD(lr=1.0), net.parameters())
