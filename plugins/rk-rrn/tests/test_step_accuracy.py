"""The callback `step-accuracy`."""

from __future__ import annotations

import csv

import pytest
import torch
from rk_rrn.step_accuracy import example_accuracy, spans

from rk import UserError

RECIPE = """
rk: 1
model: {name: rrn, hidden_size: 8, num_steps: 3, test_steps: 4, mlp_layers: 1}
data: {name: sudoku, box_rows: 2, box_cols: 2, num_puzzles: 60, max_extra_givens: 4, batch_size: 8, val_examples: 16,
       test_examples: 8}
loss: per-step-cross-entropy
trainer: {name: backprop, optimizer: adam}
fit: {max_steps: 2, seed: 1, validate_every: 2, threads: 1}
callbacks: [{name: step-accuracy, most_buckets: 3}]
"""


def logits_of(answers: list) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(answers), 4).float()


def test_each_step_has_its_share_of_right_targets():
    logits, targets = logits_of([[[1, 2], [1, 3]], [[0, 0], [3, 3]]]), torch.tensor([[1, 3], [3, 3]])
    assert example_accuracy(logits, targets, False, -100).tolist() == [[0.5, 1.0], [0.0, 1.0]]
    assert example_accuracy(logits, targets, True, -100).tolist() == [[0.0, 1.0], [0.0, 1.0]]


def test_ignored_targets_do_not_count():
    logits, targets = logits_of([[[1, 2], [0, 2]]]), torch.tensor([[1, -100]])
    assert example_accuracy(logits, targets, False, -100).tolist() == [[1.0, 0.0]]
    assert example_accuracy(logits, targets, True, -100).tolist() == [[1.0, 0.0]]


def test_examples_may_have_one_target():
    assert example_accuracy(logits_of([[1, 2, 2]]), torch.tensor([2]), True, -100).tolist() == [[0.0, 1.0, 1.0]]


def test_many_buckets_share_curves():
    assert spans(torch.tensor([4, 9, 5, 6, 9]), 2) == [(4, 5), (6, 9)]
    assert spans(torch.tensor([4, 5]), 6) == [(4, 4), (5, 5)]


def test_a_run_has_a_table_and_a_figure(rk_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("RK_CACHE", str(tmp_path / "cache"))
    run = rk_folder.train(RECIPE)
    with (run.path / "step-accuracy.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head[:2] == ["step", "all"] and all(name.startswith("givens ") for name in head[2:]) and len(head) == 5
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    examples = [int(name.split(", ")[1].split()[0]) for name in head[2:]]
    assert sum(examples) == 16
    mean = sum(n * float(x) for n, x in zip(examples, rows[3][2:], strict=True)) / 16
    assert abs(mean - float(rows[3][1])) < 1e-5
    assert (run.path / "figures" / "step-accuracy.png").is_file()


WITHOUT_STEPS = """
rk: 1
model: mlp
data: digits
loss: cross-entropy
trainer: {name: backprop, optimizer: adam}
fit: {max_steps: 1, seed: 1, validate_every: 1, threads: 1}
callbacks: [step-accuracy]
"""


def test_a_model_without_steps_is_refused(rk_folder):
    with pytest.raises(UserError, match="gives no step_logits"):
        rk_folder.train(WITHOUT_STEPS)
