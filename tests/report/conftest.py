"""Run folders written by hand: reports do not need real runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from rk.report.summary import RunSummary
from rk.runs import RunFolder

RECIPE = """
rk: 1
paper: arXiv:1506.03134
model: {name: rk/mlp, hidden_sizes: [64], dropout: 0.0}
data: rk/digits
loss: {name: rk/cross-entropy, label_smoothing: 0.0}
trainer: {name: rk/backprop, optimizer: {name: rk/adam, lr: 0.001}}
fit: {max_steps: 20, seed: 1}
expect:
  - {metric: test/accuracy, at_least: 0.9, paper: 0.95, note: "Table <1>"}
"""


class Writer:
    """Writes run folders."""

    recipe = RECIPE

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, recipe: str = RECIPE, lines=None, **info) -> RunSummary:
        folder = RunFolder.begin(self.root, "digits", recipe)
        standard = {
            "status": "done",
            "step": 20,
            "seconds": 61.25,
            "parameters": 4810,
            "higher_is_better": {"loss": False, "accuracy": True},
            "metrics": {"val/accuracy": 0.9, "test/accuracy": 0.92},
        }
        folder.update(**(standard | info))
        for line in lines if lines is not None else self.lines():
            folder.append_metrics(line)
        return RunSummary(folder)

    @staticmethod
    def lines():
        return [
            {"step": 10, "train/loss": 1.0, "seconds": 1.0},
            {"step": 10, "val/loss": 0.8, "val/accuracy": 0.9},
            {"step": 20, "train/loss": 0.5, "seconds": 2.0},
            {"step": 20, "val/loss": 0.9, "val/accuracy": 0.7},
            {"step": 10, "test/accuracy": 0.92},
        ]


@pytest.fixture
def written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Writer(tmp_path / "runs")
