"""Schedules over the whole run: the trapezoid and one cycle."""

from __future__ import annotations

import math

import pytest
import torch

from rk.builtin.schedules import OneCycle, WarmupStableDecay
from rk.errors import UserError


def rates(schedule, total, lr=1.0):
    return [schedule(lr, step, total) for step in range(total)]


@pytest.mark.parametrize("total", [1, 2, 3, 7, 30, 100, 1001])
@pytest.mark.parametrize("rise", [0.1, 0.3, 0.5, 0.9])
def test_one_cycle_has_the_rates_of_torch(total, rise):
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    if rise * total <= 1:  # torch divides by nothing, or by less
        assert all(math.isfinite(rate) and 0 < rate <= 1 for rate in rates(OneCycle(rise), total))
        return
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=total, pct_start=rise)
    expected = []
    for _ in range(total):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step() if len(expected) < total else None
    assert rates(OneCycle(rise), total) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_the_trapezoid_rises_stays_and_falls_over_its_last_share():
    found = rates(WarmupStableDecay(decay=0.25, warmup_steps=3, end=0.2), 20)
    assert found[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert found[3:16] == pytest.approx([1.0] * 13)
    assert found[15:] == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])


def test_its_decay_may_be_one_minus_a_square_root():
    found = rates(WarmupStableDecay(decay=0.5, form="1-sqrt"), 10)
    assert found[5:] == pytest.approx([1 - math.sqrt(k / 4) for k in range(5)])


def test_more_steps_do_not_change_the_rates_before_the_decay():
    schedule = WarmupStableDecay(decay=0.2, warmup_steps=5)
    assert rates(schedule, 50)[:40] == rates(schedule, 500)[:40]


@pytest.mark.parametrize("total", [1, 2, 3])
def test_short_runs_have_a_rate(total):
    assert all(0 <= rate <= 1 for rate in rates(WarmupStableDecay(), total))


@pytest.mark.parametrize(("name", "schedule"), [("wsd", WarmupStableDecay()), ("one-cycle", OneCycle())])
def test_they_need_the_length_of_the_run(name, schedule):
    with pytest.raises(UserError, match=f"the schedule {name} needs to know how long the run is"):
        schedule(1.0, 0, None)
