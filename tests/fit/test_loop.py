"""The loop: what a run does, in which order, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rk.builtin.backprop import Backprop
from rk.builtin.digits import Digits
from rk.errors import ExitCode, RunFailed, UserError
from rk.fit.dryrun import dry_run
from rk.fit.loop import Loop
from rk.fit.runtime import Runtime
from rk.runs import RunFolder


def weights(run):
    return load_file(run.folder.model)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def stop_at(monkeypatch):
    """Returns a function that presses Ctrl-C after a step of the next run."""

    def arrange(step):
        after = Backprop.step
        count = [0]

        def counted(self, batch):
            result = after(self, batch)
            count[0] += 1
            if count[0] == step:
                os.kill(os.getpid(), signal.SIGINT)
            return result

        monkeypatch.setattr(Backprop, "step", counted)
        return lambda: monkeypatch.setattr(Backprop, "step", after)

    return arrange


# -- length --------------------------------------------------------------------------------------------------------


def test_it_takes_the_given_number_of_steps(run):
    assert run("fit.max_steps=7").outcome.steps == 7


def test_epochs_count_passes_over_the_training_split(run):
    assert run("~fit.max_steps", "fit.max_epochs=2").outcome.steps == 2 * 19  # 1197 images in batches of 64


def test_the_shorter_of_steps_and_epochs_ends_it(run):
    assert run("fit.max_steps=50", "fit.max_epochs=1").outcome.steps == 19


# -- determinism ---------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(run):
    first, again, other = run(), run(), run("fit.seed=6")
    assert same(weights(first), weights(again))
    assert not same(weights(first), weights(other))


def test_validation_leaves_training_unchanged(run):
    never = run()
    often = run("fit.validate_every=3", "fit.checkpoint_every=5")
    assert same(weights(never), weights(often)), "dropout's generator must not notice validation"


def test_worker_processes_give_the_same_stream(run):
    assert same(weights(run()), weights(run("fit.workers=2")))


def test_accumulation_takes_the_given_number_of_micro_batches_per_step(run, monkeypatch):
    asked = []
    original = Digits.batch
    monkeypatch.setattr(
        Digits, "batch", lambda self, split, i, stage=0: asked.append((split, i)) or original(self, split, i, stage)
    )
    run("fit.accumulate=3", "fit.max_steps=4")
    trained = [i for split, i in asked if split == "train"]
    assert trained == [0, *range(12)]  # the first is looked at once before it all begins


# -- resuming ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("fit.accumulate=2",),
        ("fit.workers=1",),
        ("trainer.optimizer={name: sgd, lr: 0.1, momentum: 0.9, schedule: cosine}",),
        ("fit.validate_every=6", "fit.monitor=val/accuracy"),
        ("fit.gradient_clip=0.5", "fit.checkpoint_every=4"),
    ],
    ids=["plain", "accumulate", "workers", "momentum", "monitor", "clip"],
)
def test_a_run_stopped_by_ctrl_c_resumes_bit_equal(run, stop_at, overrides):
    whole = run(*overrides)
    release = stop_at(9)
    stopped = run(*overrides)
    release()
    assert stopped.outcome.exit_code == ExitCode.INTERRUPTED
    assert stopped.folder.read()["status"] == "interrupted"
    resumed = run(*overrides, folder=stopped.folder, resume=True)
    assert same(weights(whole), weights(resumed))
    assert resumed.metrics == whole.metrics
    lines = [{k: v for k, v in m.items() if k != "seconds"} for m in whole.folder.metrics()]
    assert [{k: v for k, v in m.items() if k != "seconds"} for m in resumed.folder.metrics()] == lines


def test_a_checkpoint_cut_short_is_passed_over(run, stop_at, capsys):
    release = stop_at(9)
    stopped = run("fit.checkpoint_every=4", "fit.validate_every=4", "fit.monitor=val/accuracy")
    release()
    steps = stopped.folder.checkpoint_steps()
    assert len(steps) == 2, "the best and the last"
    newest = stopped.folder.checkpoint_path(steps[-1]) / "model.safetensors"
    newest.write_bytes(newest.read_bytes()[:100])
    resumed = run(
        "fit.checkpoint_every=4", "fit.validate_every=4", "fit.monitor=val/accuracy", folder=stopped.folder, resume=True
    )
    assert resumed.outcome.steps == 20
    assert f"using the checkpoint of step {steps[0]}" in capsys.readouterr().err


def test_a_run_that_failed_and_then_ended_well_reports_no_error(run, monkeypatch):
    def fail(self, batch):
        raise ZeroDivisionError("the bug")

    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        step = Backprop.step
        patch.setattr(Backprop, "step", lambda self, batch: fail(self, batch) if self.steps > 8 else count(self, batch))

        def count(self, batch):
            self.steps += 1
            return step(self, batch)

        patch.setattr(Backprop, "steps", 0, raising=False)
        run("fit.checkpoint_every=4")
    (failed,) = RunFolder.all(Path("runs"))
    assert "the bug" in failed.read()["error"] and failed.traceback.exists()
    done = run("fit.checkpoint_every=4", folder=failed, resume=True)
    assert done.folder.read()["error"] is None and done.folder.read()["status"] == "done"
    assert not failed.traceback.exists()


def test_a_run_is_not_resumed_with_another_number_of_processes(run, stop_at, monkeypatch):
    release = stop_at(8)
    stopped = run()
    release()
    monkeypatch.setattr(Loop, "_make_runtime", lambda self: Pair("cpu"))
    with pytest.raises(UserError, match="used 1 processes, not 2"):
        run(folder=stopped.folder, resume=True)


class Pair(Runtime):
    world = 2


def test_a_run_stopped_before_its_first_checkpoint_begins_again(run, tmp_path, capsys):
    whole = run()
    begun = RunFolder.create(tmp_path / "begun", "x")
    begun.append_metrics({"step": 4, "train/loss": 1.0})
    resumed = run(folder=begun, resume=True)
    assert "was stopped before its first checkpoint: it begins again" in capsys.readouterr().err
    assert same(weights(whole), weights(resumed))
    assert [m["step"] for m in resumed.folder.metrics()] == [m["step"] for m in whole.folder.metrics()]


def test_a_checkpoint_that_would_run_code_is_refused(run, stop_at, tmp_path):
    release = stop_at(9)
    stopped = run()
    release()
    step = stopped.folder.checkpoint_steps()[-1]
    marker = tmp_path / "owned"

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {marker}",)

    torch.save({"step": Evil()}, stopped.folder.checkpoint_path(step) / "state.pt")
    with pytest.raises(RunFailed, match="cannot be read"):
        run(folder=stopped.folder, resume=True)
    assert not marker.exists()


# -- what goes wrong -----------------------------------------------------------------------------------------------


def test_a_nan_stops_the_run_and_keeps_the_last_good_checkpoint(run, monkeypatch):
    original = Digits.batch

    def poisoned(self, split, i, stage=0):
        batch = dict(original(self, split, i, stage))
        if split == "train" and i == 13:
            batch["inputs"] = batch["inputs"] * float("nan")
        return batch

    monkeypatch.setattr(Digits, "batch", poisoned)
    with pytest.raises(RunFailed, match=r"loss became nan between steps 12 and 15") as caught:
        run("fit.checkpoint_every=5")
    assert "the last good checkpoint, of step 10" in caught.value.hint
    folder = next(RunFolder.all(Path("runs")))
    assert folder.read()["status"] == "failed"
    assert folder.checkpoint_steps() == [10]
    stored = load_file(folder.checkpoint_path(10) / "model.safetensors")
    assert all(tensor.isfinite().all() for tensor in stored.values())


def test_no_checkpoint_ever_holds_a_weight_that_is_not_finite(run, monkeypatch):
    original = Backprop.step

    def overflow(self, batch):
        logs = original(self, batch)
        with torch.no_grad():
            next(self.objective.parameters())[0] = float("inf")
        return {k: torch.zeros(()) for k in logs}

    monkeypatch.setattr(Backprop, "step", overflow)
    with pytest.raises(RunFailed, match="a weight is not finite at step 4"):
        run("fit.checkpoint_every=4")


def test_a_full_disk_leaves_the_last_checkpoint(run, monkeypatch):
    import rk.fit.checkpoint as checkpoint

    written = checkpoint.write_atomic

    def full(path, content):
        if path.parent.parent.joinpath("00000004").exists():
            raise OSError(28, "No space left on device")
        written(path, content)

    monkeypatch.setattr(checkpoint, "write_atomic", full)
    with pytest.raises(RunFailed, match="No space left on device") as caught:
        run("fit.checkpoint_every=4")
    assert caught.value.hint == "the checkpoint of step 4 is kept"


def test_metrics_that_cannot_be_written_end_the_run_and_name_its_checkpoint(run, monkeypatch):
    import builtins

    opened = builtins.open

    def full(path, mode="r", *args, **kwargs):
        if mode == "a" and Path(path).parent.joinpath("checkpoints", "00000004").exists():
            raise OSError(28, "No space left on device")
        return opened(path, mode, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", full)
    with pytest.raises(RunFailed, match=r"cannot write .*metrics.jsonl: No space left on device") as caught:
        run("fit.checkpoint_every=4")
    assert caught.value.hint.startswith("the checkpoint of step 4 is kept: rk train --resume")


def test_a_failure_that_cannot_be_recorded_is_still_reported(run, monkeypatch):
    def step(self, batch):
        monkeypatch.setattr(RunFolder, "update", lambda self, **values: (_ for _ in ()).throw(RunFailed("disk")))
        raise ZeroDivisionError("the bug")

    monkeypatch.setattr(Backprop, "step", step)
    with pytest.raises(ZeroDivisionError, match="the bug"):
        run()


def test_an_unknown_metric_is_found_before_the_first_step(run, monkeypatch):
    monkeypatch.setattr(Loop, "_train", lambda self, signal: pytest.fail("it trained"))
    monkeypatch.setattr(Digits, "splits", property(lambda self: ("train", "dev")), raising=True)
    with pytest.raises(UserError, match="there is no 'val/accuracy'"):
        run("fit.monitor=val/accuracy")
    assert list(RunFolder.all(Path("runs"))) == [], "nothing was run, so no run is left"


def test_a_plugins_bug_ends_the_run_and_leaves_its_traceback(run, monkeypatch):
    monkeypatch.setattr(Backprop, "step", lambda self, batch: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run()
    folder = next(RunFolder.all(Path("runs")))
    assert folder.read()["error"] == "ZeroDivisionError: division by zero"
    assert "1 / 0" in folder.traceback.read_text()


# -- what it leaves ------------------------------------------------------------------------------------------------


def test_metrics_are_logged_as_averages_one_line_each(run):
    lines = list(run("fit.max_steps=8", "fit.validate_every=4").folder.metrics())
    trained = [line for line in lines if "train/loss" in line]
    assert [line["step"] for line in trained] == [4, 8]
    assert {"lr", "seconds"} <= trained[0].keys()
    assert [line["step"] for line in lines if "val/accuracy" in line] == [4, 8]


def test_the_tests_are_taken_on_the_best_checkpoint_of_the_monitored_metric(run):
    done = run(
        "fit.validate_every=2", "fit.monitor=val/loss", "trainer.optimizer={name: sgd, lr: 3.0}", "fit.max_steps=30"
    )
    losses = {m["step"]: m["val/loss"] for m in done.folder.metrics() if "val/loss" in m and "test/loss" not in m}
    best = min(losses, key=losses.get)
    assert best != 30, "a learning rate this high must have spoilt the end"
    assert done.folder.read()["best_step"] == best
    assert done.metrics["val/loss"] == pytest.approx(losses[best])
    assert same(weights(done), load_file(done.folder.checkpoint_path(best) / "model.safetensors"))


def test_only_the_last_and_the_best_checkpoint_are_kept(run):
    done = run("fit.validate_every=2", "fit.monitor=val/accuracy")
    assert set(done.folder.checkpoint_steps()) == {done.folder.read()["best_step"], 20}


def test_run_json_holds_what_scripts_rely_on(run):
    found = run().folder.read()
    assert found["status"] == "done"
    assert set(found["metrics"]) == {"val/loss", "val/accuracy", "test/loss", "test/accuracy"}
    assert found["facts"] == {"num_features": 64, "num_classes": 10}
    assert json.dumps(found)


def test_the_stored_recipe_runs_again_as_it_is(run):
    first = run("model.hidden_sizes=[8, 8]")
    again = run(text=first.folder.recipe.read_text())
    assert same(weights(first), weights(again))


def test_metrics_that_a_recipe_adds_are_measured_beside_the_datas_own(run):
    found = run("metrics={top3: {name: accuracy, top: 3}}").metrics
    assert found["test/top3"] > found["test/accuracy"]


def test_a_dry_run_on_all_devices_takes_one_of_them(run, catalog, tmp_path):
    recipe = run("fit.max_steps=1").recipe
    recipe.fit = replace(recipe.fit, devices="auto", accelerator="cpu")
    assert "parameters on cpu" in next(iter(dry_run(recipe, catalog, tmp_path / "runs")))
