"""A component's parameter that has another name now: stored runs load as before, recipes get a hint with the new
name.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rk.errors import RecipeError
from rk.fit.loaded import LoadedRun
from rk.fit.train import train
from rk.recipe import check_recipe
from rk.recipe.find import RecipeFile
from rk.recipe.stored import read_stored
from rk.runs import RunFolder

NET = '''
import torch
from jaxtyping import Float
from torch import Tensor, nn
from rk.fields import LogitsOutputs

class Net(nn.Module):
    """A net.

    Args:
        num_features: A fact.
        num_classes: A fact.
        NAME: Its width.
    """

    EARLIER

    def __init__(self, num_features: int, num_classes: int, NAME: int = 4) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(num_features, NAME), nn.Linear(NAME, num_classes))

    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> LogitsOutputs:
        return {"logits": self.layers(inputs)}
'''
RECIPE = """
rk: 1
model: {name: net, n_units: 6}
data: {name: digits, batch_size: 32}
loss: cross-entropy
trainer: {name: backprop, optimizer: adam}
fit: {max_steps: 2, seed: 0, threads: 1}
"""


@pytest.fixture
def versions(workshop):
    """The catalogs before and after the parameter was renamed."""
    before = NET.replace("EARLIER", "").replace("NAME", "n_units")
    after = NET.replace("EARLIER", 'renamed = {"n_units": "num_units"}').replace("NAME", "num_units")
    return tuple(workshop.catalog(workshop.plugin("nets", source, models={"net": "Net"})) for source in (before, after))


@pytest.fixture
def run(versions, tmp_path) -> RunFolder:
    """A run of the version before."""
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    recipe = check_recipe(RecipeFile(path), (), versions[0]).valid()
    folder = RunFolder.begin(tmp_path / "runs", recipe.name, recipe.to_yaml())
    train(recipe, versions[0], folder)
    return folder


def test_a_run_that_was_stored_with_the_earlier_name_loads_and_resumes(versions, run):
    before, after = (LoadedRun.open(run.path, catalog) for catalog in versions)
    assert after.recipe.model.params["num_units"] == 6
    assert before.evaluate(("test",)) == after.evaluate(("test",))
    longer = read_stored(run, ("fit.max_steps=4",), versions[1], resuming=True)
    train(longer, versions[1], run, resume=True, extend=True)
    assert run.read()["step"] == 4


def test_a_recipe_with_the_earlier_name_gets_an_error_that_says_the_new_one(versions, tmp_path):
    path = Path(tmp_path, "recipe.yaml")
    path.write_text(RECIPE)
    with pytest.raises(RecipeError) as error:
        check_recipe(RecipeFile(path), (), versions[1]).valid()
    (problem,) = error.value.problems
    assert problem.key == "model.n_units" and problem.hint == "n_units is called num_units now"
