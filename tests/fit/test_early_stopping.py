"""Early stopping and the plateau schedule: both wait for a better value of `fit.monitor`."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import load_file

from rk.builtin.plateau import Plateau
from rk.errors import ExitCode
from rk.fit.patience import Patience
from rk.fit.runtime import Runtime
from rk.recipe.stored import lengthens, read_stored
from rk.runs import RunFolder

FAST = (
    *("fit.max_steps=400", "fit.validate_every=5", "fit.monitor=val/loss"),
    "trainer.optimizer={name: sgd, lr: 0.5}",  # a rate at which the loss soon rises again
)


def same(a, b):
    expected, found = load_file(a.model), load_file(b.model)
    return all(torch.equal(value, found[name]) for name, value in expected.items())


# -- patience ------------------------------------------------------------------------------------------------------


def test_it_runs_out_after_so_many_validations_without_an_improvement():
    patience = Patience(2)
    assert [patience.runs_out(value, maximise=False) for value in (1.0, 0.9, 0.95, 0.9)] == [False, False, False, True]


def test_an_improvement_resets_it_and_more_may_be_better():
    patience = Patience(2)
    assert not any(patience.runs_out(value, maximise=True) for value in (0.1, 0.0, 0.2, 0.1, 0.3, 0.2))


def test_a_change_of_min_delta_or_less_does_not_count():
    patience = Patience(1, min_delta=0.5)
    assert not patience.runs_out(1.0, maximise=True)
    assert patience.runs_out(1.5, maximise=True)
    assert not patience.runs_out(1.75, maximise=True), "compared with 1.0, the last improvement"


def test_nan_is_never_an_improvement():
    patience = Patience(1)
    assert patience.runs_out(math.nan, maximise=True)
    assert not patience.runs_out(0.0, maximise=True)


# -- early stopping ------------------------------------------------------------------------------------------------


def test_a_run_ends_when_its_metric_no_longer_improves_and_keeps_the_best_weights(run):
    done = run(*FAST, "fit.early_stopping={patience: 4}")
    info = done.folder.read()
    losses = {m["step"]: m["val/loss"] for m in done.folder.metrics() if "val/loss" in m and "test/loss" not in m}
    best = min(losses, key=losses.get)
    assert info["status"] == "done" and info["step"] == best + 4 * 5 < 400
    assert info["stop_reason"] == "val/loss has not improved for 4 validations"
    assert info["best_step"] == best
    assert done.metrics["val/loss"] == pytest.approx(losses[best]) and "test/accuracy" in done.metrics


def test_min_delta_ends_it_earlier(run):
    patient = run(*FAST, "fit.early_stopping={patience: 2}")
    strict = run(*FAST, "fit.early_stopping={patience: 2, min_delta: 0.5}")
    assert strict.outcome.steps < patient.outcome.steps


def test_killed_after_the_validation_that_stops_it_the_run_takes_no_further_step(run, monkeypatch, tmp_path):
    from rk.fit.loop import Loop

    arguments = (*FAST, "fit.early_stopping={patience: 3}")
    whole = run(*arguments)
    folder = RunFolder.create(tmp_path / "runs", "cut")
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(Loop, "_finish", lambda self: 1 / 0)  # the last checkpoint is of the step that stopped
        run(*arguments, folder=folder)
    again = run(*arguments, folder=folder, resume=True)
    assert again.outcome.steps == whole.outcome.steps and again.metrics == whole.metrics
    assert same(whole.folder, folder)
    assert folder.read()["stop_reason"] == whole.folder.read()["stop_reason"]


def test_what_it_has_waited_for_survives_an_interruption(run, monkeypatch, tmp_path):
    import os
    import signal

    from rk.builtin.backprop import Backprop

    arguments = (*FAST, "fit.early_stopping={patience: 4}")
    whole = run(*arguments)
    step, cut = Backprop.step, whole.outcome.steps - 8

    def interrupted(self, batch):
        if self.runtime.step == cut:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, batch)

    folder = RunFolder.create(tmp_path / "runs", "cut")
    with monkeypatch.context() as patch:
        patch.setattr(Backprop, "step", interrupted)
        assert run(*arguments, folder=folder).outcome.exit_code == ExitCode.INTERRUPTED
    again = run(*arguments, folder=folder, resume=True)
    assert again.outcome.steps == whole.outcome.steps and again.metrics == whole.metrics and same(whole.folder, folder)


def test_an_ended_run_can_be_given_more_patience(run, catalog):
    done = run(*FAST, "fit.early_stopping={patience: 2}")
    longer = ("fit.early_stopping.patience=1000", "fit.max_steps=60")
    recipe = read_stored(done.folder, longer, catalog, resuming=True)
    assert recipe.fit.early_stopping.patience == 1000 and lengthens(longer, recipe, catalog)


# -- the schedule --------------------------------------------------------------------------------------------------


def test_the_rate_falls_after_patience_down_to_its_end():
    plateau = Plateau(factor=0.1, patience=2, end=0.005)
    rates = []
    for _ in range(8):
        plateau.monitored(1.0, maximise=False)
        rates.append(plateau(0.1, 0, None))
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.005, 0.005, 0.005, 0.005])


def test_validations_of_the_cooldown_do_not_count():
    plateau = Plateau(factor=0.5, patience=1, cooldown=3)
    falls = []
    for _ in range(9):
        plateau.monitored(1.0, maximise=False)
        falls.append(plateau.falls)
    assert falls == [0, 1, 1, 1, 1, 2, 2, 2, 2]


def test_it_falls_as_keras_reduce_on_plateau():
    """Keras counts ``wait`` from 0, lowers the rate when ``wait >= patience`` and compares with the best so far."""
    values = [1.0, 0.9, 0.92, 0.91, 0.8, 0.85, 0.86, 0.9, 0.7, 0.75, 0.72]
    plateau, lr, expected = Plateau(factor=0.5, patience=2), 1.0, []
    best, wait, found = math.inf, 0, []
    for value in values:
        if value < best:
            best, wait = value, 0
        else:
            wait += 1
            if wait >= 2:
                lr, wait = lr * 0.5, 0
        expected.append(lr)
        plateau.monitored(value, maximise=False)
        found.append(plateau(1.0, 0, None))
    assert found == pytest.approx(expected) and found[-1] < 1.0


def test_a_rate_below_its_end_is_not_raised():
    assert Plateau(end=0.5)(0.1, 0, None) == 0.1


PLATEAU = "trainer.optimizer={name: sgd, lr: 2.0, schedule: {name: plateau, factor: 0.5, patience: 1}}"


@pytest.mark.parametrize("monitor", ["val/loss", "val/accuracy"])
def test_a_run_lowers_its_rate_by_the_direction_of_its_metric(run, monitor):
    done = run(*FAST[:2], f"fit.monitor={monitor}", PLATEAU, "fit.max_steps=100", "fit.log_every=5")
    values = [m[monitor] for m in done.folder.metrics() if monitor in m and "test/loss" not in m]
    rates = [m["lr"] for m in done.folder.metrics() if "lr" in m]
    best, rate, expected = None, 2.0, [2.0]
    for value in values[:-1]:
        better = best is None or (value < best if monitor == "val/loss" else value > best)
        best, rate = (value, rate) if better else (best, rate / 2)
        expected.append(rate)
    assert rates == pytest.approx(expected) and rates[-1] < 2.0


def test_a_resumed_run_has_the_rate_that_it_had(run, tmp_path, monkeypatch):
    from rk.builtin.backprop import Backprop

    arguments = (*FAST[:3], PLATEAU, "fit.max_steps=60")
    whole = run(*arguments)
    step = Backprop.step

    def cut(self, batch):
        return 1 / 0 if self.runtime.step == 43 else step(self, batch)

    folder = RunFolder.create(tmp_path / "runs", "cut")
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(Backprop, "step", cut)
        run(*arguments, folder=folder)
    again = run(*arguments, folder=folder, resume=True)
    assert same(whole.folder, folder) and again.metrics == whole.metrics
    assert [m["lr"] for m in whole.folder.metrics() if "lr" in m] == [m["lr"] for m in folder.metrics() if "lr" in m]


def test_one_schedule_of_several_optimizers_takes_each_value_once(run):
    from rk.builtin.optimizers import SGD

    schedule = Plateau(patience=2)
    runtime, factory = Runtime(), SGD(lr=0.1, schedule=schedule)
    for name in ("a", "b"):
        runtime.optimizer(factory, [torch.nn.Parameter(torch.zeros(1))], name=name)
    runtime.monitored(1.0, maximise=False)
    runtime.monitored(1.0, maximise=False)
    assert schedule.falls == 0
    runtime.monitored(1.0, maximise=False)
    assert schedule.falls == 1
