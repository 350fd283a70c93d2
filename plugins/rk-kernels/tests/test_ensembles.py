"""Ensembles: members of any model side by side, and what they learn and answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rk_kernels.empirical import empirical_ntk
from rk_kernels.ensemble import Ensemble
from rk_kernels.mlp_kernel import MLPKernel
from rk_kernels.ntk_mlp import NTKMLP
from rk_kernels.per_member import PerMember, PerMemberMetric
from torch import nn
from torch.nn import functional

from rk import UserError
from rk.builtin.losses import CrossEntropy

BATCH = {"inputs": torch.randn(6, 4), "targets": torch.tensor([0, 1, 2, 0, 1, 2])}


class Net(nn.Module):
    """A small network with a shared weight, a mark and a buffer."""

    def __init__(self, branching=False):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.first.weight.lr_scale = 0.5
        self.head = nn.Linear(4, 3)
        self.register_buffer("scale", torch.rand(1))
        self.branching = branching

    def forward(self, *, inputs):
        hidden = self.second(self.first(inputs).relu()).relu() * self.scale
        if self.branching and float(hidden.sum()) < 0:
            hidden = hidden * 2
        return {"logits": self.head(hidden)}


def ensemble(**settings):
    torch.manual_seed(0)
    return Ensemble(Net, num_members=3, **settings)


def test_members_give_what_each_gives_alone():
    model = ensemble()
    answers = model.predict(inputs=BATCH["inputs"])
    for k in range(3):
        alone = model.member(k)(inputs=BATCH["inputs"])["logits"]
        torch.testing.assert_close(answers["member_logits"][:, k], alone)
    torch.testing.assert_close(answers["logits"], answers["member_logits"].mean(1))
    assert not torch.equal(model.member(0).head.weight, model.member(1).head.weight)


def test_a_member_learns_as_it_would_alone():
    model, loss = ensemble(), PerMember(CrossEntropy())
    loss.watch(model)
    total, count = loss(logits=model(inputs=BATCH["inputs"])["logits"], targets=BATCH["targets"])
    (total / count).backward()
    alone = model.member(2)
    functional.cross_entropy(alone(inputs=BATCH["inputs"])["logits"], BATCH["targets"]).backward()
    torch.testing.assert_close(model.base.head.weight.grad[2], alone.head.weight.grad)
    torch.testing.assert_close(model.base.first.weight.grad[2], alone.first.weight.grad)


def test_shared_weights_and_their_marks_stay():
    model = ensemble()
    assert model.base.first.weight is model.base.second.weight
    assert model.base.first.weight.lr_scale == 0.5
    assert {len(p) for p in model.parameters()} == {3}


def test_a_model_that_branches_on_its_numbers_is_called_member_by_member():
    torch.manual_seed(0)
    model = Ensemble(lambda: Net(branching=True), num_members=3)
    torch.testing.assert_close(
        model.predict(inputs=BATCH["inputs"])["logits"], ensemble().predict(inputs=BATCH["inputs"])["logits"]
    )


def test_probabilities_are_averaged_where_asked_for():
    answers = ensemble(combine="probabilities").predict(inputs=BATCH["inputs"])
    torch.testing.assert_close(answers["logits"].exp(), answers["member_logits"].softmax(-1).mean(1))


class Dropped(nn.Module):
    """Ones times a weight, half of them dropped."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, *, inputs):
        return {"logits": self.weight * functional.dropout(torch.ones(len(inputs), 64), 0.5)}


def test_dropout_differs_between_members():
    first, second = Ensemble(Dropped, num_members=2)(inputs=torch.zeros(1, 1))["logits"]
    assert not torch.equal(first, second)


def test_the_loss_asks_for_an_ensemble():
    with pytest.raises(UserError, match="must be an ensemble, got NTKMLP"):
        PerMember(CrossEntropy()).watch(NTKMLP(num_features=2, num_outputs=2, hidden_size=4))


@pytest.mark.parametrize(("statistic", "expected"), [("best", 1.0), ("worst", 0.0), ("mean", 0.5)])
def test_a_statistic_is_of_what_the_metric_gives_for_each_member(statistic, expected):
    metric = PerMemberMetric(lambda *, logits, targets: ((logits.argmax(-1) == targets).sum(), len(targets)), statistic)
    right, wrong = torch.eye(3)[[0, 1]], torch.eye(3)[[1, 2]]
    other = PerMemberMetric(metric.base.function, statistic)
    for one in (metric, other):
        one.update(member_logits=torch.stack([right, wrong], 1), logits=right, targets=torch.tensor([0, 1]))
    metric.merge(other)
    assert metric.compute() == expected


def test_the_parametrisations_are_the_same_function_at_the_start():
    torch.manual_seed(0)
    outside = NTKMLP(num_features=3, num_outputs=2, hidden_size=8, depth=2, b_std=0.3)
    torch.manual_seed(0)
    inside = NTKMLP(num_features=3, num_outputs=2, hidden_size=8, depth=2, b_std=0.3, parametrization="standard")
    x = torch.rand(5, 3)
    torch.testing.assert_close(outside(inputs=x)["values"], inside(inputs=x)["values"])


class _Values(nn.Module):
    """A network that is called with its inputs and gives its values."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(inputs=x)["values"]


def test_a_wide_network_has_the_tangent_kernel_of_infinite_width():
    torch.manual_seed(0)
    x = torch.randn(4, 3)
    network = NTKMLP(num_features=3, num_outputs=1, hidden_size=8192, activation="erf")
    found = empirical_ntk(_Values(network), x).double()
    exact = MLPKernel(depth=1, activation="erf", kind="ntk", w_std=1.0, b_std=0.0)(x)
    torch.testing.assert_close(found, exact.detach(), atol=0.05, rtol=0.05)


RECIPE = """
rk: 1
model: {name: ensemble, base: {name: mlp, hidden_sizes: [8]}, num_members: 3}
data: digits
loss: {name: per-member, base: cross-entropy}
trainer: {name: backprop, optimizer: {name: sgd, lr: 0.1}}
metrics: {best: {name: per-member, base: accuracy, statistic: best}}
fit: {max_steps: 3, seed: 1, threads: 1}
"""


def test_an_ensemble_is_trained_by_a_recipe(rk_folder):
    Path("many.yaml").write_text(RECIPE)
    metrics = rk_folder.train("many.yaml").read()["metrics"]
    assert metrics["test/best"] >= metrics["test/accuracy"] - 0.2 > -0.2


def test_the_ensemble_of_deep_mlp_is_that_model_written_out_by_hand():
    written = pytest.importorskip("rk_gradient_noise.ensemble").DeepMLPEnsemble
    single = pytest.importorskip("rk_gradient_noise.model").DeepMLP
    settings = {"num_features": 4, "num_classes": 3, "num_layers": 2, "hidden_size": 5}
    by_hand = written(num_members=3, init="he", **settings)
    model = Ensemble(lambda: single(**settings), num_members=3)
    with torch.no_grad():
        for k in range(3):
            for layer, weight, bias in zip(model.base.layers(), by_hand.weights, by_hand.biases, strict=True):
                layer.weight[k], layer.bias[k] = weight[k].T, bias[k, 0]
    torch.testing.assert_close(
        model.predict(inputs=BATCH["inputs"])["member_logits"], by_hand(inputs=BATCH["inputs"])["member_logits"]
    )
