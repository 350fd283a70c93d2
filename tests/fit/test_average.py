"""Averages of weights: what they are, where they are measured, and that runs with them resume bit-equal."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rk.builtin.backprop import Backprop
from rk.errors import UserError
from rk.fit.loaded import LoadedRun
from rk.runs import RunFolder

NORMED = '''
from jaxtyping import Float
from torch import Tensor, nn
from rk.fields import LogitsOutputs

class Normed(nn.Module):
    """A layer with BatchNorm."""

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(num_features, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, num_classes)
        )

    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> LogitsOutputs:
        return {"logits": self.layers(inputs.flatten(1))}
'''
RECIPE = """
rk: 1
model: {name: normed, num_features: 64}
data: {name: digits, batch_size: 64}
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: adam, lr: 1e-2}}
fit: {max_steps: 24, seed: 5, threads: 1, log_every: 4, accelerator: cpu}
"""
EMA = "callbacks=[{name: average, decay: 0.8}]"
USED = "callbacks=[{name: average, decay: 0.8, use: true}]"
SWA = "callbacks=[{name: average, kind: swa, start: 0.5, every: 3, norm_batches: 7}]"
SWA_USED = SWA.replace("7}", "7, use: true}")


@pytest.fixture
def catalog(workshop):
    return workshop.catalog(workshop.plugin("normed", NORMED, models={"normed": "Normed"}))


@pytest.fixture
def train(run):
    def call(*overrides, **more):
        return run(*overrides, text=RECIPE, **more)

    return call


@pytest.fixture
def seen(monkeypatch):
    """The weights after each step of the last run."""
    found = []
    step = Backprop.step

    def watched(self, batch):
        if self.runtime.step == 0:
            found.clear()
        logs = step(self, batch)
        found.append({k: v.clone() for k, v in self.objective.state_dict().items()})
        return logs

    monkeypatch.setattr(Backprop, "step", watched)
    return found


@pytest.fixture
def fails_at(monkeypatch):
    """Returns a function that lets the next runs fail within a step, as a kill would: nothing more is saved."""
    step = Backprop.step

    def arrange(number):
        monkeypatch.setattr(
            Backprop, "step", lambda self, batch: 1 / 0 if self.runtime.step == number else step(self, batch)
        )
        return lambda: monkeypatch.setattr(Backprop, "step", step)

    return arrange


def weights(folder: RunFolder):
    return load_file(folder.model)


def close(a, b):
    return all(torch.allclose(a[k].float(), b[k].float(), atol=1e-6) for k in a)


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


# -- what it is ----------------------------------------------------------------------------------------------------


def test_ema_is_the_weighted_mean_of_all_weights_and_float_buffers(train, seen):
    done = train(USED)
    average = {k: v.double() for k, v in seen[0].items()}
    for now in seen[1:]:
        average = {k: 0.8 * average[k] + 0.2 * now[k].double() for k in average}
    found = weights(done.folder)
    counts = [k for k in found if k.endswith("num_batches_tracked")]
    assert [int(found[k]) for k in counts] == [24], "whole numbers are not averaged"
    assert close({k: v for k, v in average.items() if k not in counts}, found)


def test_swa_is_the_mean_from_start_on_with_statistics_of_its_own(train, seen, catalog):
    done = train(SWA_USED)
    chosen = [seen[step - 1] for step in range(12, 25, 3)]
    found = weights(done.folder)
    for name in (k for k in found if k.endswith(("weight", "bias"))):
        assert torch.allclose(torch.stack([w[name] for w in chosen]).mean(0), found[name], atol=1e-6)
    run = LoadedRun.open(done.folder.path, catalog)
    layers = run.learner.model.layers
    run.prepare()
    hidden = torch.stack([layers[0](b["inputs"].flatten(1)).mean(0) for b in run.batches("train", 7)]).mean(0)
    assert torch.allclose(hidden, found["model.layers.1.running_mean"], atol=1e-5)


def test_without_batches_for_norms_swa_averages_their_statistics(train, seen):
    done = train(SWA_USED.replace("norm_batches: 7", "norm_batches: 0"))
    name = "model.layers.1.running_mean"
    expected = torch.stack([seen[step - 1][name] for step in range(12, 25, 3)]).mean(0)
    assert torch.allclose(expected, weights(done.folder)[name], atol=1e-6)


# -- beside the weights --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("average", "name"), [(EMA, "ema"), (SWA, "swa")])
def test_it_is_measured_beside_the_weights_and_changes_nothing_of_them(train, average, name):
    plain, beside = train("fit.validate_every=5"), train("fit.validate_every=5", average)
    assert equal(weights(plain.folder), weights(beside.folder))
    assert {f"val/accuracy@{name}", f"test/accuracy@{name}"} == beside.metrics.keys() - plain.metrics.keys()
    assert {k: beside.metrics[k] for k in plain.metrics} == plain.metrics


def test_measured_beside_it_has_the_numbers_of_the_run_that_uses_it(train):
    beside, used = train(EMA), train(USED)
    for split in ("val", "test"):
        assert beside.metrics[f"{split}/accuracy@ema"] == used.metrics[f"{split}/accuracy"]


def test_before_its_start_it_is_the_weights(train):
    done = train("callbacks=[{name: average, start: 1000}]")
    assert done.metrics["test/accuracy@ema"] == done.metrics["test/accuracy"]


def test_it_can_be_monitored(train):
    done = train(EMA, "fit.monitor=val/accuracy@ema", "fit.validate_every=4")
    values = {m["step"]: m["val/accuracy@ema"] for m in done.folder.metrics() if "val/loss" in m}
    best = max(values, key=values.get)
    assert values[done.folder.read()["best_step"]] == values[best]


# -- in their place ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("average", [USED, SWA_USED])
def test_used_it_is_what_the_run_answers_with_and_training_is_the_same(train, seen, average, catalog):
    train("fit.validate_every=5")
    plain = list(seen)
    done = train("fit.validate_every=5", average)
    assert all(equal(a, b) for a, b in zip(plain, seen, strict=True))
    assert not equal(weights(done.folder), seen[-1])
    loaded = LoadedRun.open(done.folder.path, catalog).evaluate()
    assert {k: pytest.approx(v) for k, v in loaded.items()} == done.metrics


def test_a_checkpoint_answers_with_the_average(train, fails_at, catalog):
    release = fails_at(20)
    with pytest.raises(ZeroDivisionError):
        train(USED, "fit.validate_every=5", "fit.checkpoint_every=5")
    release()
    (folder,) = RunFolder.all(Path("runs"))
    line = next(m for m in folder.metrics() if m["step"] == 20 and "val/loss" in m)
    assert LoadedRun.open(folder.path, catalog).evaluate(("val",))["val/loss"] == pytest.approx(line["val/loss"])


@pytest.mark.parametrize("average", [EMA, USED, SWA, SWA_USED], ids=["ema", "ema used", "swa", "swa used"])
@pytest.mark.parametrize("monitor", [(), ("fit.monitor=val/loss",)], ids=["last", "best"])
def test_a_run_that_was_cut_off_ends_bit_equal(train, fails_at, tmp_path, average, monitor):
    arguments = (average, "fit.validate_every=6", "fit.checkpoint_every=4", *monitor)
    whole = train(*arguments)
    folder = RunFolder.create(tmp_path / "runs", "cut")
    release = fails_at(18)
    with pytest.raises(ZeroDivisionError):
        train(*arguments, folder=folder)
    release()
    again = train(*arguments, folder=folder, resume=True)
    assert again.metrics == whole.metrics
    assert equal(weights(whole.folder), weights(folder))
    ends = [torch.load(f.checkpoint_path(24) / "state.pt")["callbacks"][0] for f in (whole.folder, folder)]
    assert equal(*ends)


def test_the_best_checkpoint_is_tested_with_the_average_of_its_time(train, catalog):
    done = train(EMA, "fit.monitor=val/loss", "fit.monitor_mode=max", "fit.validate_every=3")
    assert done.folder.read()["best_step"] != 24, "the loss is largest at the beginning"
    lines = [m for m in done.folder.metrics() if m["step"] == done.folder.read()["best_step"]]
    assert done.metrics["val/accuracy@ema"] == next(m["val/accuracy@ema"] for m in lines if "val/loss" in m)
    stored = torch.load(done.folder.checkpoint_path(done.folder.read()["best_step"]) / "state.pt")["callbacks"][0]
    averaged = [stored[k] for k in stored if k.startswith("module.")]
    run = LoadedRun.open(done.folder.path, catalog)
    floats = [t for t in (*run.learner.parameters(), *run.learner.buffers()) if t.is_floating_point()]
    with torch.no_grad():
        for t, value in zip(floats, averaged, strict=True):
            t.copy_(value)
    assert run.evaluate(("test",))["test/accuracy"] == pytest.approx(done.metrics["test/accuracy@ema"])


# -- refusals ------------------------------------------------------------------------------------------------------


def test_a_share_of_a_run_of_unknown_length_is_refused(train):
    with pytest.raises(UserError, match="start is a share of the run, whose length is not known"):
        train(SWA, "~fit.max_steps", "fit.max_time=1h")


def test_sharded_weights_are_refused(train, monkeypatch):
    from rk.fit.runtime import Runtime

    monkeypatch.setattr(Runtime, "same_forward_everywhere", True)
    with pytest.raises(UserError, match=r"average cannot be used with fit\.strategy fsdp"):
        train(EMA)
