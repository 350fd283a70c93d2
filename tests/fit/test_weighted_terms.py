"""Terms of an objective with weights: what is minimised is their weighted sum, what is shown is each term itself."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rk.builtin.optimizers import SGD
from rk.fit.evaluate import evaluate
from rk.fit.runtime import Runtime


class Learner(nn.Module):
    """One number: its square, and its distance from 3 over twice as many examples."""

    def __init__(self, weight: object = 0.25) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(2.0))
        self.weight = weight

    def forward(self, batch):
        n = len(batch["x"])
        return {"square": (n * self.w**2, n), "far": (2 * n * (self.w - 3).abs(), 2 * n, self.weight)}

    def predict(self, batch):
        return {"y": batch["x"] * self.w}


class Data:
    splits = ("val",)

    def batches(self, split):
        return 2

    def batch(self, split, i, stage=0):
        return {"x": torch.ones(3 + i)}


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("weight", [0.25, torch.tensor(0.25)], ids=["number", "tensor"])
def test_the_gradient_is_that_of_the_weighted_sum_and_the_logs_are_of_the_terms(accumulate, weight):
    learner = Learner(weight)
    runtime = Runtime(accumulate=accumulate)
    optimizer = runtime.optimizer(SGD(lr=0.1), learner.parameters())
    for runtime.micro_batch in range(accumulate):
        logs = runtime.backward(learner({"x": torch.ones(4)}))
        runtime.update(optimizer)
    assert {name: float(value) for name, value in logs.items()} == {"square": 4.0, "far": 1.0, "loss": 4.25}
    assert learner.w.item() == pytest.approx(2.0 - 0.1 * (2 * 2.0 - 0.25))


def test_one_weighted_term_without_a_name_is_logged_with_its_weight():
    w = nn.Parameter(torch.tensor(2.0))
    logs = Runtime().backward((w**2 * 4, 4, 0.5))
    assert {name: float(value) for name, value in logs.items()} == {"loss": 2.0}
    assert w.grad.item() == 2.0


def test_a_split_is_measured_by_the_same_rule():
    found = evaluate(Learner(), Data(), "val", {}, Runtime())
    assert list(found) == ["val/loss", "val/square", "val/far"]
    assert found == {"val/loss": 4.25, "val/square": 4.0, "val/far": 1.0}


@pytest.mark.parametrize("term", [(torch.tensor(1.0), 1, "x"), (torch.tensor(1.0), 1, 0.1, 2), (torch.tensor(1.0),)])
def test_a_value_that_is_not_a_term_is_the_losss_mistake(term):
    from rk.errors import RunFailed
    from rk.fit.returns import check_objective

    with pytest.raises(RunFailed, match="it must return"):
        check_objective(Learner(), {"a": term})


@pytest.mark.parametrize("objective", [{}, {3: (torch.tensor(1.0), 1)}], ids=["no term", "a number as a name"])
def test_backprop_reports_wrong_terms_as_the_losss_mistake(objective):
    from rk.builtin.backprop import Backprop
    from rk.errors import RunFailed

    trainer = Backprop(SGD(lr=1.0))
    trainer.loss, trainer.objective, trainer.runtime = Learner(), lambda batch: objective, Runtime()
    with pytest.raises(RunFailed, match=r"Learner: __call__\(\) returned dict of \d; it must return \(total, count\)"):
        trainer.step({})
