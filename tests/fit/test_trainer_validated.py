"""A trainer that takes the numbers of each validation: it ends when they no longer improve."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from rk.errors import ExitCode
from rk.runs import RunFolder

SOURCE = """
import os, signal
from rk.builtin.backprop import Backprop
from rk.protocols import Batch, Optimizer

class Patient(Backprop):
    \"\"\"Backpropagation that ends when the validation loss has not fallen.

    Args:
        optimizer: The optimizer.
        wanted: The loss that is low enough.
    \"\"\"

    def __init__(self, optimizer: Optimizer, wanted: float = 0.5) -> None:
        super().__init__(optimizer)
        self.wanted = wanted
        self.seen: list[float] = []

    def step(self, batch: Batch) -> dict | None:
        if self.seen and self.seen[-1] < self.wanted:
            return None
        if self.runtime.step == 25 and os.environ.get("RK_TEST_INTERRUPT"):
            os.kill(os.getpid(), signal.SIGINT)
        return super().step(batch)

    def validated(self, metrics) -> None:
        self.seen.append(metrics["val/loss"])

    def results(self):
        return {"validations": len(self.seen)}

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state):
        self.seen = state["seen"]
"""
RECIPE = """
rk: 1
model: {name: mlp, hidden_sizes: [16]}
data: {name: digits, batch_size: 64}
loss: cross-entropy
trainer: {name: patient, optimizer: {name: adam, lr: 1e-2}}
fit: {max_steps: 500, seed: 5, threads: 1, validate_every: 10, accelerator: cpu}
"""


@pytest.fixture
def catalog(workshop):
    return workshop.catalog(workshop.plugin("patient", SOURCE, trainers={"patient": "Patient"}))


def test_it_ends_by_what_it_has_seen_and_resumes_with_it(run, tmp_path, monkeypatch):
    whole = run(text=RECIPE)
    assert whole.outcome.steps < 500 and whole.metrics["val/loss"] < 0.5
    assert whole.metrics["run/validations"] == whole.outcome.steps // 10 + (whole.outcome.steps % 10 > 0)
    monkeypatch.setenv("RK_TEST_INTERRUPT", "1")
    folder = RunFolder.create(tmp_path / "runs", "cut")
    assert run(text=RECIPE, folder=folder).outcome.exit_code == ExitCode.INTERRUPTED
    monkeypatch.delenv("RK_TEST_INTERRUPT")
    again = run(text=RECIPE, folder=folder, resume=True)
    assert again.metrics == whole.metrics
    expected, found = load_file(whole.folder.model), load_file(folder.model)
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
