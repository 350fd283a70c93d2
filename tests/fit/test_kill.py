"""A run survives SIGKILL at any moment: real processes, killed at random, inside checkpoints and in final tests."""

from __future__ import annotations

import random
import signal
import time

import pytest
import torch
from safetensors.torch import load_file

from rk.runs import RunFolder
from rk.testing.kills import RUN
from rk.testing.zygote import shared_zygote

STEPS = 450
RECIPE = f"""
rk: 1
model: {{name: mlp, hidden_sizes: [32], dropout: 0.1}}
data: {{name: digits, batch_size: 64}}
loss: cross-entropy
trainer: {{name: backprop, optimizer: {{name: adam, lr: 1e-3, schedule: cosine}}}}
fit: {{max_steps: {STEPS}, seed: 2, validate_every: 50, monitor: val/accuracy, checkpoint_every: 25, threads: 1}}
"""


@pytest.fixture(scope="module")
def zygote(tmp_path_factory):
    zygote = shared_zygote()
    zygote.folder = tmp_path_factory.mktemp("runs")
    return zygote


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "long.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def whole(zygote, recipe):
    """The same run, never killed."""
    start(zygote, "train", recipe, "--runs-dir", zygote.folder / "whole")
    assert zygote.wait() == 0
    return newest(zygote.folder / "whole")


def start(zygote, *command, kill_at=None):
    zygote.start(RUN, command=[str(word) for word in command], kill_at=kill_at)


def newest(root):
    return next(RunFolder.all(root), None)


def wait_until(condition, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.005)
    pytest.fail("waited too long")


def assert_equal_runs(whole, run):
    expected, found = load_file(whole.model), load_file(run.model)
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
    assert run.read()["metrics"] == whole.read()["metrics"]
    steps = [[[*sorted(m), m["step"]] for m in each.metrics()] for each in (whole, run)]
    assert steps[0] == steps[1], "no metric line is lost or written twice"


def test_killed_at_random_moments_it_ends_bit_equal(whole, zygote, recipe):
    root, moment = zygote.folder / "random", random.Random(0)
    start(zygote, "train", recipe, "--runs-dir", root)
    wait_until(lambda: newest(root) and newest(root).checkpoint_steps())
    run = newest(root)
    kills = 0
    for _ in range(6):
        reached = run.checkpoint_steps()[-1]
        # After the first checkpoint of this process, at any moment of its work: steps, validation, half a checkpoint
        wait_until(lambda at=reached: not zygote.running() or run.checkpoint_steps()[-1] > at)
        time.sleep(moment.random() * 0.05)
        if not zygote.running() or run.state() == "done":
            break
        assert zygote.kill() == -signal.SIGKILL
        kills += 1
        if run.state() == "done":  # it ended between the look and the kill
            break
        assert run.state() == "stopped", "no process trains it"
        start(zygote, "train", "--resume", run.path)
    else:
        assert zygote.wait() == 0
    assert kills >= 2
    assert_equal_runs(whole, run)


def test_killed_between_any_two_file_operations_it_ends_bit_equal(whole, zygote, recipe):
    root = zygote.folder / "files"
    start(zygote, "train", recipe, "--runs-dir", root, kill_at=("file", 9))
    assert zygote.wait() == -signal.SIGKILL
    run = newest(root)
    for count in (1, 2, 3, 5, 8, 13, 17, 21, 34, 55):
        start(zygote, "train", "--resume", run.path, kill_at=("file", count))
        assert zygote.wait() == -signal.SIGKILL
    start(zygote, "train", "--resume", run.path)
    assert zygote.wait() == 0
    assert_equal_runs(whole, run)


def test_killed_in_the_final_tests_it_ends_bit_equal(whole, zygote, recipe):
    root = zygote.folder / "tests"
    start(zygote, "train", recipe, "--runs-dir", root, kill_at=("test", 2))
    assert zygote.wait() == -signal.SIGKILL
    run = newest(root)
    for place in (("test", 1), ("file", 4), ("file", 6)):
        start(zygote, "train", "--resume", run.path, kill_at=place)
        assert zygote.wait() == -signal.SIGKILL
    start(zygote, "train", "--resume", run.path)
    assert zygote.wait() == 0
    assert_equal_runs(whole, run)


AVERAGED = """
rk: 1
model: {name: mlp, hidden_sizes: [16], dropout: 0.1}
data: {name: digits, batch_size: 64}
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: adam, lr: 1e-2, schedule: {name: plateau, patience: 1, factor: 0.7}}}
callbacks: [{name: average, decay: 0.9, use: USE}]
fit:
  {max_steps: 240, seed: 2, validate_every: 10, monitor: val/loss, early_stopping: {patience: 6}, keep_checkpoints: 2,
   accumulate_targets: 100, threads: 1}
"""


@pytest.mark.parametrize("use", ["true", "false"], ids=["used", "beside"])
def test_averages_plateaus_and_patience_survive_kills(zygote, tmp_path, use):
    path = tmp_path / "averaged.yaml"
    path.write_text(AVERAGED.replace("USE", use))
    start(zygote, "train", path, "--runs-dir", tmp_path / "whole")
    assert zygote.wait() == 0
    start(zygote, "train", path, "--runs-dir", tmp_path / "killed", kill_at=("file", 40))
    assert zygote.wait() == -signal.SIGKILL
    run = newest(tmp_path / "killed")
    for place in (("file", 7), ("file", 23), ("file", 38), ("test", 1)):
        start(zygote, "train", "--resume", run.path, kill_at=place)
        if zygote.wait() == 0:
            break
    else:
        start(zygote, "train", "--resume", run.path)
        assert zygote.wait() == 0
    whole = newest(tmp_path / "whole")
    assert_equal_runs(whole, run)
    assert whole.read()["stop_reason"] == run.read()["stop_reason"]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_a_signal_ends_the_step_and_keeps_a_checkpoint(zygote, recipe, number):
    root = zygote.folder / number.name
    start(zygote, "train", recipe, "fit.max_steps=1000000", "--runs-dir", root)
    wait_until(lambda: newest(root) and newest(root).checkpoint_steps())
    assert zygote.kill(number) == 128 + number
    run = newest(root)
    assert run.read()["status"] == "interrupted"
    assert run.checkpoint_steps()[-1] == run.read()["step"]
