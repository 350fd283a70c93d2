"""From a recipe to a figure, through the commands that users have; and the layer in other tasks."""

from __future__ import annotations

import csv

import pytest
import torch
from rk_deltaproduct.analysis import right_prefixes

from rk.runs import RunFolder

SMALL = (
    "model.d_model=16",
    "model.layer.head_dim=4",
    "data.length=5",
    "data.test_lengths=[96]",
    "data.batch_size=8",
    "data.val_examples=8",
    "data.test_examples=16",
    "fit.max_steps=3",
)


def test_prefixes_are_right_until_the_first_mistake():
    targets = torch.tensor([[0, 1, 1, 0], [1, -100, 0, 0], [1, 1, 1, 1]])
    answers = torch.tensor([[0, 1, 0, 0], [1, 0, 0, 0], [0, 1, 1, 1]])
    logits = torch.nn.functional.one_hot(answers, 2).double()
    assert right_prefixes(logits, targets).tolist() == [2, 2, 1, 1]


def test_the_curve_of_a_run_ends_at_its_sequence_accuracy(rk, tmp_path):
    done = rk("train", "deltaproduct/s3-quick", *SMALL, "--runs-dir", tmp_path)
    assert done.code == 0, done.err
    (run,) = (tmp_path / "s3-quick").iterdir()
    done = rk("analyze", "prefix-accuracy", "--runs", f"[{run}, {run}]", "--split", "test-96")
    assert done.code == 0, done.err
    (table,) = tmp_path.rglob("prefix-accuracy.csv")
    assert table.with_suffix(".png").stat().st_size > 5000
    with table.open() as file:
        rows = list(csv.DictReader(file))
    curve, again = ([float(row["accuracy"]) for row in part] for part in (rows[:96], rows[96:]))
    assert len({row["run"] for row in rows}) == 2 and curve == again
    assert curve == sorted(curve, reverse=True)
    assert curve[-1] == pytest.approx(RunFolder(run).read()["metrics"]["test-96/sequence-accuracy"])


def test_it_fits_other_tasks_and_draws_curves_only_for_answers_at_each_step(rk, tmp_path):
    recipe = tmp_path / "adding.yaml"
    recipe.write_text(
        "# Two of many numbers.\nrk: 1\nmodel:\n  name: sequence\n  layer: {name: deltaproduct, use_short_conv: true, "
        "use_forget_gate: true}\n  d_model: 16\n"
        "data: {name: adding, length: 12, batch_size: 8, val_examples: 8, test_examples: 8}\nloss: {name: mse}\n"
        "trainer: {name: backprop, optimizer: {name: adam}}\nfit: {max_steps: 2, seed: 1, threads: 1}\n"
    )
    done = rk("train", recipe, "--runs-dir", tmp_path / "runs")
    assert done.code == 0, done.err
    (run,) = (tmp_path / "runs" / "adding").iterdir()
    done = rk("analyze", "prefix-accuracy", "--runs", f"[{run}]")
    assert done.code == 2 and "does not answer at each step" in done.err
    done = rk("analyze", "prefix-accuracy", "--runs", f"[{run}]", "--split", "test-96")
    assert done.code == 2 and "unknown split 'test-96'" in done.err


def test_heads_that_do_not_divide_the_width_are_shown_at_their_place(rk):
    done = rk("train", "deltaproduct/s3-quick", *SMALL, "model.layer.head_dim=null", "model.layer.num_heads=5")
    assert done.code == 2
    assert "num_heads must divide a width of 16, got 5" in done.err and "Traceback" not in done.err
