"""Gradient noise in whole runs: killed and resumed, with its logs and its curves."""

from __future__ import annotations

import csv
import math
import signal
import time

import pytest
import torch
from safetensors.torch import load_file

from rk import UserError
from rk.authoring import Record
from rk.catalog import Catalog
from rk.recipe import check_recipe
from rk.recipe.find import find_recipe
from rk.runs import RunFolder

ENSEMBLE = """
    rk: 1
    model: {name: deep-mlp-ensemble, num_members: 3, num_layers: 4, hidden_size: 12, init: zero}
    data: {name: digits, batch_size: 32}
    loss: member-cross-entropy
    trainer: {name: backprop, optimizer: {name: sgd, lr: 0.1, momentum: 0.5}}
    callbacks:
      - {name: clip-members, max_norm: 10}
      - {name: gradient-noise, eta: 0.2}
      - member-curves
    metrics: {mean: {name: member-accuracy}, best: {name: member-accuracy, statistic: best}}
    fit: {max_steps: 600, seed: 3, validate_every: 100, checkpoint_every: 20, log_every: 40, threads: 1}
"""
ONE = """
    rk: 1
    model: {name: deep-mlp, num_layers: 2, hidden_size: 12, init: he}
    data: {name: digits, batch_size: 16}
    loss: cross-entropy
    trainer: {name: backprop, optimizer: {name: sgd, lr: 0.1}}
    callbacks: [{name: gradient-noise, eta: 0.01}]
    fit: {max_steps: 12, seed: 1, log_every: 4, threads: 1}
"""


def lines(run, *names):
    return [[line[name] for name in ("step", *names)] for line in run.metrics() if names[0] in line]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of `ENSEMBLE` that nothing has disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "recipe.yaml").write_text("\n".join(line[4:] for line in ENSEMBLE.splitlines()))
    from rk.cli import cli

    assert not cli(["train", str(folder / "recipe.yaml"), "--runs-dir", str(folder)], standalone_mode=False)
    return next(RunFolder.all(folder))


def test_a_killed_run_resumes_with_the_same_noise(rk_folder, whole):
    (rk_folder.folder / "recipe.yaml").write_text(whole.recipe.read_text())
    process = rk_folder.start("train", "recipe.yaml", "--runs-dir", rk_folder.folder)
    deadline = time.monotonic() + 60
    while not (run := next(RunFolder.all(rk_folder.folder), None)) or not run.checkpoint_steps():
        assert process.running() and time.monotonic() < deadline
        time.sleep(0.002)
    assert process.kill() == -signal.SIGKILL
    assert run.checkpoint_steps()[-1] < 600 and run.info()["status"] == "running"
    assert rk_folder.rk("train", "--resume", run.path) == 0
    expected, found = load_file(whole.model), load_file(run.model)
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
    for names in (("train/noise-std", "train/noise-ratio"), ("val/mean", "val/best")):
        assert lines(run, *names) == lines(whole, *names) != []
    assert (run.path / "members.csv").read_bytes() == (whole.path / "members.csv").read_bytes()


def test_the_noise_moves_members_that_start_alike_apart(whole):
    weights = load_file(whole.model)
    assert not torch.allclose(weights["model.weights.1"][0], weights["model.weights.1"][1], atol=0.01)


def test_the_strength_that_is_logged_is_that_of_the_step(whole):
    found = dict(lines(whole, "train/noise-std"))
    assert found == {step: pytest.approx(math.sqrt(0.2 / step**0.55)) for step in range(40, 601, 40)}


def test_accumulated_micro_batches_make_one_step(rk_folder):
    one = rk_folder.train(ONE, "fit.accumulate=3")
    found = dict(lines(one, "train/noise-std"))
    assert found == {step: pytest.approx(math.sqrt(0.01 / step**0.55)) for step in (4, 8, 12)}


def test_the_batches_are_the_same_with_and_without_noise(rk_folder):
    noisy = rk_folder.train(ONE, "fit.log_every=1")
    plain = rk_folder.train(ONE, "fit.log_every=1", "callbacks=[]", runs="plain")
    (_, first), (_, second), *_ = lines(noisy, "train/loss")
    (_, expected), (_, other), *_ = lines(plain, "train/loss")
    assert first == expected and second != other


def test_the_curves_hold_every_members_accuracy_at_every_validation(whole):
    with (whole.path / "members.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["step", "member 0", "member 1", "member 2"]
    members = {int(step): [float(x) for x in values] for step, *values in rows}
    expected = lines(whole, "val/mean", "val/best")
    assert [[s, sum(x) / 3, max(x)] for s, x in members.items()] == [pytest.approx(line, abs=1e-5) for line in expected]
    assert len(expected) == 6
    assert (whole.figures / "members.png").stat().st_size > 5000


def test_two_runs_side_by_side(rk_folder, whole, capsys):
    plain = rk_folder.train(ENSEMBLE, "callbacks=[{name: member-curves, limit: 2}]", "fit.max_steps=100")
    arguments = ("--run", whole.path, "--baseline", plain.path, "--at-least", 0.15)
    assert rk_folder.rk("analyze", "member-curves", *arguments, "--runs-dir", rk_folder.folder / "a") == 0
    (found,) = RunFolder.all(rk_folder.folder / "a")
    last = Record.read(whole.path / "members.csv").rows[-1]
    metrics = found.read()["metrics"]
    assert metrics["run/best"] == max(last) and metrics["run/mean"] == pytest.approx(sum(last) / 3)
    assert metrics["run/success"] == sum(x >= 0.15 for x in last) / 3 and metrics["baseline/success"] == 0
    assert (found.figures / "members.png").stat().st_size > 5000


def test_a_run_without_curves_is_named(rk_folder):
    run = rk_folder.train(ONE)
    with pytest.raises(UserError, match=r"has no members\.csv") as error:
        rk_folder.rk("analyze", "member-curves", "--run", run.path)
    assert "callback member-curves" in error.value.hint


def test_a_file_that_holds_no_curves_is_named(tmp_path):
    for text in ("", "step,member 0\n1,high\n"):
        (tmp_path / "members.csv").write_text(text)
        with pytest.raises(UserError, match=r"members\.csv cannot be read"):
            Record.read(tmp_path / "members.csv")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["callbacks=[member-curves]", "fit.validate_every=2"], "gives no member_logits"),
        (["callbacks=[{name: member-curves, split: valid}]"], "no split 'valid'"),
        (["callbacks=[{name: clip-members, max_norm: 1}]"], "members as their first dimension"),
        (["callbacks=[{name: gradient-noise, parameters: '['}]"], "not a regular expression"),
    ],
    ids=["curves-of-one", "unknown-split", "clip-one", "regex"],
)
def test_a_misfit_is_reported_in_one_line(rk_folder, overrides, message):
    with pytest.raises(UserError, match=message):
        rk_folder.train(ONE, *overrides)


def test_a_loss_for_members_does_not_bind_to_one_network(rk_folder):
    (rk_folder.folder / "recipe.yaml").write_text("\n".join(line[4:] for line in ONE.splitlines()))
    catalog = Catalog()
    file = find_recipe(str(rk_folder.folder / "recipe.yaml"), catalog.plugins)
    checked = check_recipe(file, ("loss=member-cross-entropy",), catalog)
    assert ["needs the field 'member_logits'" in str(p) for p in checked.problems] == [True]
