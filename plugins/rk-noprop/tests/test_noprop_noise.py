"""Noise schedules and the coefficients of a step."""

from __future__ import annotations

import pytest
import torch
from rk_noprop.noise import Cosine, Linear, MonotoneNet, noised, ode_step, prior_divergence, sde_step
from torch.distributions import MultivariateNormal, kl_divergence

TIMES = torch.linspace(0, 1, 11, dtype=torch.double)


def schedules():
    torch.manual_seed(0)
    wild = MonotoneNet(hidden_size=9).double()
    for p in (wild.rate, wild.place, wild.height):
        torch.nn.init.normal_(p, std=3)
    return {"cosine": Cosine(1 / 12), "linear": Linear(1 / 12), "learned": MonotoneNet().double(), "wild": wild}


def test_the_cosine_of_ten_blocks_is_open_at_both_ends():
    abar = Cosine(1 / 12).abar(TIMES)
    wanted = torch.sin(torch.pi / 2 * (torch.arange(11, dtype=torch.double) + 1) / 12).square()
    torch.testing.assert_close(abar, wanted)
    known = [0.017, 0.067, 0.146, 0.25, 0.371, 0.5, 0.629, 0.75, 0.854, 0.933, 0.983]
    assert [round(x, 3) for x in abar.tolist()] == known
    assert float(abar[-1] / (1 - abar[-1])) == pytest.approx(57.7, abs=0.05)


def test_the_steps_of_ten_blocks_have_the_coefficients_of_equation_3():
    abar = Cosine(1 / 12).abar(TIMES)
    a, b, _ = sde_step(abar[:-1], abar[1:])
    assert [round(x, 3) for x in a.tolist()] == [0.196, 0.223, 0.243, 0.264, 0.291, 0.326, 0.376, 0.448, 0.562, 0.752]
    assert [round(x, 3) for x in b.tolist()] == [0.479, 0.619, 0.673, 0.689, 0.684, 0.661, 0.618, 0.549, 0.438, 0.248]


@pytest.mark.parametrize("rule", [sde_step, ode_step])
@pytest.mark.parametrize("name", schedules())
def test_a_step_with_the_true_label_stays_on_the_noised_labels(name, rule):
    abar = schedules()[name].abar(TIMES)
    before, after = abar[:-1], abar[1:]
    a, b, c = rule(before, after)
    torch.testing.assert_close(a + b * before.sqrt(), after.sqrt())
    torch.testing.assert_close(b.square() * (1 - before) + c, 1 - after)
    assert (c >= 0).all()


@pytest.mark.parametrize("name", schedules())
def test_noise_falls_with_time_and_the_rates_are_derivatives(name):
    schedule = schedules()[name]
    t = TIMES.clone().requires_grad_()
    assert (schedule.abar(t).diff() > 0).all()
    log_snr = schedule.log_snr(t)
    (rate,) = torch.autograd.grad(log_snr.sum(), t, create_graph=True)
    torch.testing.assert_close(schedule.log_snr_rate(t), rate)
    (rate,) = torch.autograd.grad(log_snr.exp().sum(), t)
    torch.testing.assert_close(schedule.snr_rate(t), rate)
    torch.testing.assert_close(schedule.abar(t), log_snr.sigmoid())


def test_the_learned_schedule_begins_nearly_straight_with_open_ends():
    log_snr = MonotoneNet().log_snr(torch.linspace(0, 1, 11))
    torch.testing.assert_close(log_snr[[0, -1]], torch.tensor([-5.0, 5.0]))
    assert (log_snr - torch.linspace(-5, 5, 11)).abs().max() < 1


def test_every_part_of_the_learned_schedule_learns():
    schedule = MonotoneNet()
    t = torch.rand(50)
    (schedule.snr_rate(t).sum() + schedule.abar(t).sum()).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in schedule.parameters())


def test_noised_labels_have_the_mean_and_the_variance_of_q():
    torch.manual_seed(0)
    u = torch.tensor([[1.0, -2.0]]).expand(200_000, 2)
    z = noised(u, torch.tensor(0.3))
    torch.testing.assert_close(z.mean(0), 0.3**0.5 * u[0], atol=0.01, rtol=0)
    torch.testing.assert_close(z.var(0), torch.full((2,), 0.7), atol=0.01, rtol=0)


def test_the_prior_term_is_the_divergence_of_two_gaussians():
    u, abar = torch.randn(4, 3, dtype=torch.double), torch.tensor(0.2, dtype=torch.double)
    eye = torch.eye(3, dtype=torch.double)
    wanted = [
        kl_divergence(MultivariateNormal(abar.sqrt() * row, (1 - abar) * eye), MultivariateNormal(0 * row, eye))
        for row in u
    ]
    torch.testing.assert_close(prior_divergence(u, abar), torch.stack(wanted))
