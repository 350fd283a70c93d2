"""Best, mean, worst and success over the members of an ensemble."""

from __future__ import annotations

import math

import pytest
import torch
from rk_gradient_noise.metrics import MemberAccuracy, SuccessRate
from torch.nn.functional import one_hot

TARGETS = torch.tensor([0, 1, 2, 1, 0, 2, 2, 1])
WRONG = (0, 2, 6)
"""How many of the eight examples each member gets wrong."""


def logits():
    chosen = [torch.cat([(TARGETS[:n] + 1) % 3, TARGETS[n:]]) for n in WRONG]
    return one_hot(torch.stack(chosen, 1), 3).float()


STATISTICS = {
    "best": 1.0,
    "mean": (8 + 6 + 2) / 24,
    "worst": 0.25,
    "std": float(torch.tensor([1.0, 0.75, 0.25]).std()),
}


@pytest.mark.parametrize("statistic", STATISTICS)
def test_a_statistic_is_over_the_accuracies_of_members_each_over_all_batches(statistic):
    metric = MemberAccuracy(statistic)
    for part in (slice(0, 5), slice(5, 6), slice(6, 8)):  # uneven batches
        metric.update(member_logits=logits()[part], targets=TARGETS[part])
    assert metric.compute() == pytest.approx(STATISTICS[statistic])


@pytest.mark.parametrize(("at_least", "share"), [(0.0, 1.0), (0.75, 2 / 3), (0.76, 1 / 3), (1.0, 1 / 3)])
def test_success_is_to_reach_a_value(at_least, share):
    metric = SuccessRate(at_least)
    metric.update(member_logits=logits(), targets=TARGETS)
    assert metric.compute() == pytest.approx(share)


@pytest.mark.parametrize(
    "make", [lambda: MemberAccuracy("best"), lambda: SuccessRate(0.5)], ids=["accuracy", "success"]
)
def test_processes_that_share_a_split_measure_what_one_would(make):
    whole, first, second, idle = make(), make(), make(), make()
    whole.update(member_logits=logits(), targets=TARGETS)
    first.update(member_logits=logits()[:3], targets=TARGETS[:3])
    second.update(member_logits=logits()[3:], targets=TARGETS[3:])
    for other in (second, idle):
        first.merge(other)
    assert first.compute() == whole.compute()
    first.reset()
    assert math.isnan(MemberAccuracy().compute()) and first.hits is None


def test_less_spread_is_better_and_more_of_the_rest():
    assert [MemberAccuracy(s).higher_is_better for s in ("best", "mean", "worst", "std")] == [True, True, True, False]


def test_one_member_has_no_spread():
    metric = MemberAccuracy("std")
    metric.update(member_logits=logits()[:, :1], targets=TARGETS)
    assert metric.compute() == 0.0
