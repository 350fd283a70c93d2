"""A recipe's claims are about its own data, and do not apply to other data."""

from __future__ import annotations

import pytest

from rk.recipe import check_recipe
from rk.recipe.find import RecipeFile

RECIPE = """
rk: 1
model: mlp
data: {name: digits, batch_size: 32}
loss: cross-entropy
trainer: {name: backprop, optimizer: adam}
fit: {max_steps: 3}
expect:
  - {metric: test/accuracy, at_least: 0.9}
"""
DATA = '''
"""A table."""
from typing import TypedDict
from jaxtyping import Float, Int
from rk import Decode
from torch import Tensor


class Batch(TypedDict):
    inputs: Float[Tensor, "batch features"]
    targets: Int[Tensor, "batch"]


def accuracy(*, logits: Float[Tensor, "batch classes"], targets: Int[Tensor, "batch"]):
    return (logits.argmax(-1) == targets).sum(), len(targets)


class Table:
    """A table.

    Args:
        file: Where it is.
        level: Of its answers.
        batch_size: Rows of a batch.
    """

    splits = ("train", "val", "test-9")
    metrics = {"accuracy": accuracy}
    num_features: int = 3
    num_classes: int = 2

    def __init__(self, file: str = "a.csv", level: Decode[float] = 0.5, batch_size: int = 8) -> None: ...
    def batches(self, split: str) -> int: ...
    def batch(self, split: str, i: int, stage: int = 0) -> Batch: ...
'''


@pytest.fixture
def catalog(workshop):
    return workshop.catalog(workshop.plugin("toy", DATA, data={"table": "Table"}))


@pytest.fixture
def read(tmp_path, catalog):
    """Reads the recipe with overrides; returns whether each claim applies, and the problems."""

    def call(*overrides: str, text: str = RECIPE, extending: str | None = None):
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        if extending is not None:
            path = tmp_path / "mine.yaml"
            path.write_text(f"rk: 1\nextends: recipe.yaml\n{extending}\n")
        checked = check_recipe(RecipeFile(path), overrides, catalog)
        return [claim.applies for claim in checked.recipe.expect], checked.problems, checked.recipe

    return call


@pytest.mark.parametrize(
    ("overrides", "applies"),
    [
        pytest.param((), True, id="nothing"),
        pytest.param(("fit.max_steps=2", "model.hidden_sizes=[4]"), True, id="the model and the training"),
        pytest.param(("data.batch_size=8",), True, id="the size of a batch"),
        pytest.param(("data=digits",), True, id="the same data, written otherwise"),
        pytest.param(("data={name: table}",), False, id="another component"),
        pytest.param(("data.name=table",), False, id="another component by its name"),
        pytest.param(("data=table", "expect=[{metric: test-9/accuracy}]"), True, id="with claims that come along"),
    ],
)
def test_claims_apply_while_the_data_is_the_recipes_own(overrides, applies, read):
    found, problems, _ = read(*overrides)
    assert (found, problems) == ([applies], [])


@pytest.mark.parametrize(
    ("override", "applies"),
    [("data.file=b.csv", False), ("data.level=0.9", True), ("~data.file", False), ("data.file=own.csv", True)],
)
def test_another_file_is_other_data_and_decoding_is_not(override, applies, read):
    text = RECIPE.replace("{name: digits, batch_size: 32}", "{name: table, file: own.csv}")
    text = text.replace("test/accuracy", "test-9/accuracy")
    assert read(override, text=text)[:2] == ([applies], [])


def test_a_split_that_other_data_lacks_is_not_a_mistake(read):
    found, problems, _ = read("data=table")
    assert (found, problems) == ([False], [])
    text = RECIPE.replace("test/accuracy", "test-9/accuracy")
    assert "unknown split 'test-9'" in str(read(text=text)[1][0]), "of the recipe's own data it is one"


@pytest.mark.parametrize(
    ("extending", "applies"),
    [
        pytest.param("fit: {max_steps: 2}", True, id="the same data"),
        pytest.param("data: {batch_size: 4}", True, id="another batch"),
        pytest.param("data: {name: table}", False, id="other data with the claims of the recipe below"),
        pytest.param("data: {name: table}\nexpect: [{metric: test-9/accuracy}]", True, id="and claims"),
    ],
)
def test_a_recipe_that_extends_another_inherits_claims_about_the_same_data_only(extending, applies, read):
    found, problems, _ = read(extending=extending)
    assert (found, problems) == ([applies], [])


def test_a_stored_recipe_knows_that_its_claims_are_about_other_data(read):
    _, _, recipe = read("data=table")
    assert recipe.overrides == ["data=table"]
    assert read(text=recipe.to_yaml())[0] == [False]
    assert "other_data" not in read()[2].to_yaml()


def test_claims_on_what_steps_log_are_not_known_before(read):
    text = RECIPE.replace("test/accuracy", "train/gradient-norm")
    assert read(text=text)[:2] == ([True], [])
