"""Two recipes of a second each: one with claims, and its baseline."""

from __future__ import annotations

from pathlib import Path

import pytest

from rk.catalog import Catalog
from rk.plugins import Plugins

RECIPE = """
rk: 1
paper: arXiv:1506.03134
model: {name: mlp, hidden_sizes: [16]}
data: digits
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: adam, lr: 1e-2}}
fit: {max_steps: 60, seed: 4, threads: 1, accelerator: cpu}
expect:
  - {metric: test/accuracy, at_least: 0.5, paper: 0.97, note: Table 1, baseline: linear.yaml, times_baseline: 1.5}
  - {metric: test/loss, at_most: 0.01}
"""
BASELINE = """
rk: 1
extends: net.yaml
model: {hidden_sizes: []}
fit: {max_steps: 1}
expect: []
"""


@pytest.fixture
def catalog():
    return Catalog(Plugins(entries=[]))


@pytest.fixture
def recipes(tmp_path, monkeypatch):
    """An own folder with both recipes, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(RECIPE)
    Path("linear.yaml").write_text(BASELINE)
    return tmp_path
