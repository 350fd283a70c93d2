"""`rk recipes init`: data proposes a recipe for a user's file; the host chooses, checks and writes it."""

from pathlib import Path

import pytest

from rk import UserError
from rk.recipe import check_recipe
from rk.recipe.dump import dump
from rk.recipe.find import RecipeFile
from rk.recipe.tree import read_tree
from rk.scaffold.recipe import propose

SOURCE = '''
from pathlib import Path
from typing import TypedDict
import torch
from jaxtyping import Float, Int
from torch import Tensor
from rk import UserError
from rk.drafting import Draft

class Fields(TypedDict):
    inputs: Float[Tensor, "batch features"]
    targets: Int[Tensor, "batch"]

class Sure:
    """Reads letters."""
    splits = ("train", "val")
    metrics = {"accuracy": "accuracy"}
    num_features: int
    num_classes: int
    drafts = (".abc", "/")

    def __init__(self, file: Path, seed: int, column: str = "a") -> None: ...
    def batches(self, split: str) -> int: return 1
    def batch(self, split: str, i: int, stage: int = 0) -> Fields: ...

    @classmethod
    def draft(cls, path, target):
        if path.is_dir():
            return None
        if target == "zz":
            raise UserError(f"{path}: there is no column 'zz'", "columns: a, b")
        common = {"trainer": {"name": "backprop", "optimizer": {"name": "adam", "lr": 1e-3}}, "fit": {"max_steps": 5}}
        return Draft("the class of a letter", {"file": str(path), "column": target or "b"},
            {"mlp": {"model": {"name": "mlp", "hidden_sizes": [8]}, "loss": "cross-entropy", **common},
             "wide": {"model": {"name": "mlp", "hidden_sizes": [64]}, "loss": "cross-entropy", **common}},
            {"data.column": "the last column", "trainer.optimizer.lr": "a usual one"}, ("2 letters were unreadable",),
            confidence=0.9)

class Unsure(Sure):
    """Reads letters too."""
    @classmethod
    def draft(cls, path, target):
        return Draft("letters in general", {"file": str(path)}, {"mlp": {"loss": "cross-entropy"}}, confidence=0.1)

class Silent(Sure):
    """Has no draft for this ending, and must not be imported for it."""
    drafts = (".xyz",)
    @classmethod
    def draft(cls, path, target):
        raise AssertionError("asked for a file of another ending")
'''


@pytest.fixture
def catalog(workshop):
    data = {"sure": "Sure", "unsure": "Unsure", "silent": "Silent"}
    return workshop.catalog(workshop.plugin("letters", SOURCE, data=data))


@pytest.fixture
def letters(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("mine.abc").write_text("a b c")
    return Path("mine.abc")


def test_the_surest_data_drafts_and_the_others_are_named(catalog, letters):
    proposal = propose(letters, catalog)
    assert (proposal.data.name, proposal.choice, proposal.others) == ("sure", "mlp", ("unsure",))


def test_the_text_is_a_valid_recipe_with_its_guesses_as_comments(catalog, letters):
    proposal = propose(letters, catalog)
    assert proposal.problems(catalog, Path("mine.yaml")) == []
    Path("mine.yaml").write_text(proposal.text(Path("mine.yaml")))
    recipe = check_recipe(RecipeFile(Path("mine.yaml")), (), catalog).valid()
    assert recipe.data.params["column"] == "b" and recipe.model.params["hidden_sizes"] == (8,)
    lines = Path("mine.yaml").read_text().splitlines()
    assert lines[lines.index("  column: b") - 1] == "  # the last column"
    assert lines[lines.index("    lr: 0.001") - 1] == "    # a usual one"
    assert lines[0] == "# The class of a letter: written by rk recipes init."
    assert "# Instead of mlp, rk recipes init --model also takes wide." in lines
    assert "# Note: 2 letters were unreadable." in lines


def test_a_choice_or_any_model_may_be_named(catalog, letters):
    assert propose(letters, catalog, model="wide").values["model"]["hidden_sizes"] == [64]
    assert propose(letters, catalog, data="unsure").data.name == "unsure"
    with pytest.raises(UserError, match="unknown model 'wid'") as error:
        propose(letters, catalog, model="wid")
    assert error.value.hint == "did you mean wide? (models: mlp, wide)"


def test_the_target_is_the_datas_to_judge(catalog, letters):
    assert propose(letters, catalog, target="c").values["data"]["column"] == "c"


def test_a_file_that_no_data_takes_is_refused_with_the_endings_that_are(catalog, letters, tmp_path):
    Path("mine.pdf").write_text("x")
    with pytest.raises(UserError, match=r"no installed data proposes a recipe for mine\.pdf") as error:
        propose(Path("mine.pdf"), catalog)
    assert error.value.hint == "recipes are proposed for .abc, .xyz and folders"
    with pytest.raises(UserError, match=r"no such file or folder: none\.abc"):
        propose(Path("none.abc"), catalog)
    (tmp_path / "folder").mkdir()
    assert propose(tmp_path / "folder", catalog).data.name == "unsure", "the first one leaves folders to others"


def test_comments_are_written_above_their_keys_and_nothing_else_changes(tmp_path):
    values = {"a": {"b": [1, 2], "c": {"b": 1e-5, "d": "no"}}, "b": "x: y", "e": [{"b": 1}]}
    text = dump(values, {"a.b": "first", "a.c.b": "second " * 30, "b": "third"})
    assert [line for line in text.splitlines() if not line.lstrip().startswith("#")] == dump(values).splitlines()
    assert text.index("# first") < text.index("b: [1, 2]") < text.index("# second") < text.index("1.0e-05")
    assert max(map(len, text.splitlines())) <= 110
    (tmp_path / "r.yaml").write_text(text)
    assert read_tree(tmp_path / "r.yaml", "r")[0].items["b"].value == "x: y"


def test_a_file_that_one_data_cannot_read_is_left_to_the_others_and_where_none_can_the_reason_is_given(
    catalog, letters
):
    assert propose(letters, catalog, target="zz").data.name == "unsure", "the surest data has no such column"
    with pytest.raises(UserError, match="there is no column 'zz'") as error:
        propose(letters, catalog, target="zz", data="sure")
    assert error.value.hint == "columns: a, b"
