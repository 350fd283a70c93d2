"""How long a run and a step are: by time, and by the targets that the loss counts; which checkpoints are kept."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from rk.builtin.backprop import Backprop
from rk.builtin.digits import Digits
from rk.builtin.optimizers import SGD
from rk.errors import RunFailed
from rk.fit.counters import Counters
from rk.fit.dryrun import dry_run
from rk.fit.runtime import Runtime
from rk.recipe.sections import seconds_of
from rk.runs import RunFolder


def same(a, b):
    expected, found = load_file(a.model), load_file(b.model)
    return all(torch.equal(value, found[name]) for name, value in expected.items())


# -- time ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("2d", 172800),
        ("1d1h1m1s", 90061),
        (5, 5),
        (0.5, 0.5),
    ],
)
def test_a_time_is_a_number_of_seconds_or_has_units(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "10 m", "m", "1:30", "-5m", "ten minutes", "0m", 0, -1.0, "1h30"])
def test_whatever_else_is_given_is_refused(text):
    with pytest.raises(ValueError, match=r"must be (a time such as 90s, 10m or 1h30m|longer than 0 s), got"):
        seconds_of(text)


@pytest.fixture
def clock(monkeypatch):
    """The seconds that a run has taken: one a step."""
    steps = []
    step = Backprop.step
    monkeypatch.setattr(Backprop, "step", lambda self, batch: steps.append(1) or step(self, batch))
    monkeypatch.setattr(Counters, "seconds", property(lambda self: self.seconds_before + len(steps)))
    return steps


def test_a_run_ends_when_its_time_is_over_as_if_it_had_so_many_steps(run, clock):
    whole = run("fit.max_steps=7")
    clock.clear()
    timed = run("~fit.max_steps", "fit.max_time=7s", "trainer.optimizer.schedule=constant")
    assert timed.outcome.steps == 7 and timed.folder.read()["stop_reason"] == "fit.max_time is over"
    assert timed.folder.read()["status"] == "done" and timed.metrics.keys() == whole.metrics.keys()


def test_the_shorter_of_time_and_steps_ends_it(run, clock):
    assert run("fit.max_time=1h").outcome.steps == 20


def test_time_is_summed_over_resumes_and_can_be_lengthened(run, clock):
    first = run("fit.max_time=5s")
    clock.clear()
    again = run("fit.max_time=5s", folder=first.folder, resume=True)
    assert again.outcome.steps == 5 and not clock, "no further step"


# -- targets -------------------------------------------------------------------------------------------------------


@pytest.fixture
def sizes(monkeypatch):
    """Gives the training batches these numbers of examples, in turn."""
    chosen = [64, 10, 30, 5, 5, 5, 40, 1, 50]
    original = Digits.batch

    def batch(self, split, i, stage=0):
        whole = original(self, split, i, stage)
        return {k: v[: chosen[i % len(chosen)]] for k, v in whole.items()} if split == "train" else whole

    monkeypatch.setattr(Digits, "batch", batch)
    return chosen


def test_a_step_takes_micro_batches_until_it_has_the_targets(run, sizes, monkeypatch):
    taken = []
    step = Backprop.step

    def counted(self, batch):
        taken.append((self.runtime.step, len(batch["targets"])))
        return step(self, batch)

    monkeypatch.setattr(Backprop, "step", counted)
    run("fit.accumulate_targets=40", "fit.max_steps=5")
    assert [[n for at, n in taken if at == i] for i in range(5)] == [[64], [10, 30], [5, 5, 5, 40], [1, 50], [64]]


def test_its_gradient_is_that_of_the_micro_batches_as_one():
    def updated(sizes, **settings):
        torch.manual_seed(0)
        layer, runtime = torch.nn.Linear(3, 1), Runtime(**settings)
        optimizer = runtime.optimizer(SGD(lr=0.1), layer.parameters())
        x = torch.randn(12, 3, generator=torch.Generator().manual_seed(1))
        micro_batches = runtime.micro_batches()
        for runtime.micro_batch, part in zip(micro_batches, x.split(sizes), strict=False):
            runtime.backward((layer(part).square().sum(), len(part)))
            runtime.update(optimizer)
        return layer.weight.detach()

    assert torch.allclose(updated([5, 4, 3], accumulate_targets=12), updated([12]), atol=1e-6)
    assert torch.allclose(updated([5, 7], accumulate_targets=5), updated([5, 7]), atol=1e-6), "the first is enough"


def test_targets_that_do_not_count_are_not_counted(run, monkeypatch):
    original, batches = Digits.batch, []

    def half(self, split, i, stage=0):
        batch = dict(original(self, split, i, stage))
        if split == "train":
            batches.append(i)
            batch["targets"] = batch["targets"].clone()
            batch["targets"][::2] = -100
        return batch

    monkeypatch.setattr(Digits, "batch", half)
    run("loss={name: cross-entropy, ignore_index: -100}", "fit.accumulate_targets=64", "fit.max_steps=3")
    assert batches[1:] == [*range(6)]


def test_a_loss_that_never_counts_a_target_ends_the_run(monkeypatch):
    import rk.fit.runtime

    monkeypatch.setattr(rk.fit.runtime, "_MOST_MICRO_BATCHES", 5)
    runtime, weight = Runtime(accumulate_targets=10), torch.nn.Parameter(torch.zeros(1))
    optimizer = runtime.optimizer(SGD(lr=0.1), [weight])
    micro_batches = runtime.micro_batches()
    with pytest.raises(RunFailed, match=r"5 micro-batches have not 10 targets"):
        for runtime.micro_batch in micro_batches:
            runtime.backward((weight.sum(), 0))
            runtime.update(optimizer)


def test_a_trainer_without_gradients_takes_micro_batches_as_they_come():
    assert list(Runtime(accumulate_targets=10).micro_batches()) == [0]


def test_a_run_that_was_cut_off_ends_bit_equal(run, sizes, monkeypatch, tmp_path):
    arguments = ("fit.accumulate_targets=40", "fit.checkpoint_every=4", "fit.max_steps=12")
    whole = run(*arguments)
    folder = RunFolder.create(tmp_path / "runs", "cut")
    step = Backprop.step
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(Backprop, "step", lambda self, b: 1 / 0 if self.runtime.step == 10 else step(self, b))
        run(*arguments, folder=folder)
    assert same(whole.folder, run(*arguments, folder=folder, resume=True).folder)


def test_a_dry_run_takes_one_whole_step(run, catalog, tmp_path):
    recipe = run("fit.accumulate_targets=150", "fit.max_steps=1").recipe
    assert any(line.startswith("one step loss") for line in dry_run(recipe, catalog, tmp_path))


# -- checkpoints ---------------------------------------------------------------------------------------------------


def test_the_last_checkpoints_are_kept_and_the_best(run):
    done = run("fit.checkpoint_every=4", "fit.keep_checkpoints=3")
    assert done.folder.checkpoint_steps() == [12, 16, 20]
    best = run(
        *("fit.checkpoint_every=4", "fit.keep_checkpoints=2", "fit.validate_every=4"),
        *("fit.monitor=val/loss", "fit.monitor_mode=max"),
    )
    assert best.folder.checkpoint_steps() == [4, 16, 20], "the loss is largest at the beginning"
