"""Timescales are those of processes where they are known; lesions and forgetting do what they are called."""

import csv

import numpy as np
import pytest
import torch
from rk_timescales import probing
from rk_timescales.autocorrelation import autocorrelation, timescale
from rk_timescales.dms import NDMS
from rk_timescales.forgetting import Forgetting
from rk_timescales.layer import Leaky
from rk_timescales.lesions import Lesions
from rk_timescales.timescales import Timescales, dimensions
from scipy.signal import lfilter
from torch import nn

from rk import UserError
from rk.training import train_inside


def decaying(tau: float, signals: int = 6) -> torch.Tensor:
    """Returns x_t = e^(-1/tau) x_{t-1} + noise, of (trials, steps, signals): e^(-k/tau) is its autocorrelation."""
    noise = np.random.default_rng(0).standard_normal((10, 10000, signals))
    return torch.tensor(lfilter([1], [1, -np.exp(-1 / tau)], noise, axis=1))


def test_the_autocorrelation_is_the_sum_over_products():
    signals = torch.randn(2, 50, 3, dtype=torch.float64)
    centred = signals - signals.mean(1, keepdim=True)
    lags = [(centred[:, : 50 - k] * centred[:, k:]).sum(1) / (50 - k) for k in range(6)]
    expected = torch.stack([lag.mean(0) for lag in lags])
    torch.testing.assert_close(autocorrelation(signals, 5), expected / expected[0])


@pytest.mark.parametrize("tau", [2.0, 5.0, 12.0])
def test_the_timescale_of_an_autoregressive_process_is_found(tau):
    found = [timescale(values) for values in autocorrelation(decaying(tau), 30).T.numpy()]
    assert np.median(found) == pytest.approx(tau, rel=0.1)


def test_of_two_timescales_the_slower_one_counts():
    lags = torch.arange(31.0, dtype=torch.float64)
    both = 0.6 * (-lags / 1.5).exp() + 0.4 * (-lags / 15).exp()
    assert timescale(both.numpy()) == pytest.approx(15, rel=1e-3)


def test_a_constant_signal_has_no_timescale():
    found = timescale(autocorrelation(torch.ones(1, 100, 1), 30)[:, 0].numpy())
    assert found != found


def test_activity_along_one_line_has_one_dimension():
    along = torch.randn(3, 100, 1) * torch.tensor([1.0, -2.0, 0.5])
    assert dimensions(along) == pytest.approx(1)
    assert dimensions(torch.randn(3, 3000, 4)) == pytest.approx(4, rel=0.01)


@pytest.fixture
def learner() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(Leaky(d_model=5, input_weights=False))


def test_a_neuron_that_is_taken_out_gives_nothing_and_changes_no_other(learner):
    x = torch.randn(2, 6, 5)
    without = probing.ablated(learner.eval(), 2)(x)
    assert (without[..., 2] == 0).all()
    others = [0, 1, 3, 4]
    smaller = Leaky(d_model=4, input_weights=False).eval()
    with torch.no_grad():
        smaller.weight_hh.copy_(learner[0].weight_hh[others][:, others])
        smaller.bias_hh.copy_(learner[0].bias_hh[others])
        smaller.tau.copy_(learner[0].tau[others])
    torch.testing.assert_close(without[..., others], smaller(x[..., others]))


@pytest.mark.parametrize("what", ["weights", "tau"])
def test_a_perturbation_has_the_norm_that_is_asked_for(learner, what):
    before, after = (
        (layer.connections if what == "weights" else layer.tau).detach()
        for layer in (learner[0], probing.perturbed(learner, what, 0.3, torch.Generator().manual_seed(1))[0])
    )
    assert float((after - before).norm() / before.norm()) == pytest.approx(0.3, rel=1e-5)
    assert what == "weights" or (after >= before).all()


def test_a_model_without_leaky_neurons_has_no_lesions():
    with pytest.raises(UserError, match="a run has no layer leaky"):
        probing.leaky_of(nn.Linear(2, 2), "a run")


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


SMALL = ("fit.max_steps=3", "model.d_model=8", "data.test_n=[2]", "data.test_examples=64", "data.batch_size=16")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train_inside("timescales/dms-quick", SMALL, name="small", within=tmp_path_factory.mktemp("runs")).run


def test_runs_of_one_recipe_count_as_one(run, tmp_path):
    other = train_inside("timescales/dms-quick", (*SMALL, "fit.seed=2"), name="other", within=tmp_path).run
    alone, of_other, both = (
        Forgetting(runs, up_to=3, examples=512).analyze(tmp_path) for runs in ([run], [other], [run, other])
    )
    assert alone != of_other
    assert both == {name: pytest.approx((alone[name] + of_other[name]) / 2) for name in alone}
    table = rows(tmp_path / "forgetting.csv")
    assert {(row["recipe"], row["run"]) for row in table} == {("dms-quick", "small"), ("dms-quick", "other")}


def test_the_analyses_write_tables_and_figures(run, tmp_path):
    found = Timescales([run], trials=2, steps=200, burn_in=10).analyze(tmp_path)
    assert 0 < found["dms-quick/spectral-radius"] < 1 and 1 <= found["dms-quick/tau-mean"] <= 2
    assert len(rows(tmp_path / "timescales.csv")) == 8 and (tmp_path / "timescales.png").stat().st_size > 1000
    found = Forgetting([run], up_to=4, examples=64).analyze(tmp_path)
    assert list(found) == ["dms-quick/2", "dms-quick/3", "dms-quick/4"]
    assert (tmp_path / "forgetting.png").stat().st_size > 1000
    found = Lesions([run], n=2, neurons=1, strengths=(0.1,), repeats=1, examples=64).analyze(tmp_path)
    assert {row["lesion"] for row in rows(tmp_path / "lesions.csv")} == {
        "intact accuracy",
        "short",
        "long",
        "W 0.1",
        "tau 0.1",
    }


def test_accuracy_is_measured_on_sequences_that_ask_one_n():
    class Perfect(nn.Module):
        def predict(self, batch):
            bits = batch["inputs"].squeeze(-1)
            right = (bits[:, -3] == bits[:, -1]).long()
            scores = nn.functional.one_hot(right, 2).float()
            return {"logits": scores.repeat(1, 19)}

    task = NDMS(seed=1)
    assert probing.accuracy(Perfect(), task, 3, 200, torch.device("cpu")) == 1
    assert 0.35 < probing.accuracy(Perfect(), task, 4, 200, torch.device("cpu")) < 0.65
