"""Running a recipe in this process, with components that a test defines."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from rk.catalog import Catalog
from rk.fit.train import train
from rk.plugins import Plugins
from rk.recipe import check_recipe
from rk.recipe.find import RecipeFile
from rk.runs import RunFolder

MLP = """
rk: 1
model: {name: mlp, hidden_sizes: [16], dropout: 0.2}
data: {name: digits, batch_size: 64}
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: adam, lr: 3e-3, schedule: linear}}
fit: {max_steps: 20, seed: 5, threads: 1, log_every: 4, accelerator: cpu}
"""


@pytest.fixture
def catalog():
    return Catalog(Plugins(entries=[]))


@pytest.fixture
def run(tmp_path, catalog, monkeypatch):
    """Returns a function that trains a recipe's text with overrides: outcome, folder and recipe."""
    monkeypatch.chdir(tmp_path)

    def call(*overrides: str, text: str = MLP, folder: RunFolder | None = None, resume: bool = False):
        path = Path(tmp_path, "recipe.yaml")
        path.write_text(text)
        recipe = check_recipe(RecipeFile(path), overrides, catalog).valid()
        folder = folder or RunFolder.create(tmp_path / "runs", "test")
        folder.recipe.write_text(recipe.to_yaml())
        folder.update(name="test")
        outcome = train(recipe, catalog, folder, resume=resume)
        return SimpleNamespace(outcome=outcome, folder=folder, recipe=recipe, metrics=outcome.metrics)

    threads = torch.get_num_threads()
    yield call
    torch.set_num_threads(threads)
