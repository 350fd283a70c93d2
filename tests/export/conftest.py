"""Runs to export: a trained perceptron, and learners that a test defines."""

from __future__ import annotations

import pytest

from rk.catalog import Catalog
from rk.fit.loaded import LoadedRun
from rk.fit.train import train
from rk.plugins import Plugins
from rk.recipe import check_recipe
from rk.recipe.find import RecipeFile
from rk.runs import RunFolder

MLP = """
rk: 1
model: {name: mlp, hidden_sizes: [16]}
data: {name: digits, batch_size: 64}
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: adam, lr: 1e-2}}
fit: {max_steps: 60, seed: 1, threads: 1, accelerator: cpu}
expect: [{metric: test/accuracy, at_least: 0.5, paper: 0.9, note: a note}]
"""


@pytest.fixture(scope="session")
def make_run(tmp_path_factory):
    """Trains a recipe's text and opens the run."""

    def call(text: str = MLP, catalog: Catalog | None = None, *overrides: str) -> LoadedRun:
        catalog = catalog or Catalog(Plugins(entries=[]))
        folder = tmp_path_factory.mktemp("export")
        path = folder / "a-recipe.yaml"
        path.write_text(text)
        recipe = check_recipe(RecipeFile(path), overrides, catalog).valid()
        run = RunFolder.begin(folder, recipe.name, recipe.to_yaml())
        train(recipe, catalog, run)
        return LoadedRun.open(run.path, catalog)

    return call


@pytest.fixture(scope="session")
def mlp(make_run):
    return make_run()
