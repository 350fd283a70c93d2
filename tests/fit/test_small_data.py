"""Data that is too small: batches of one example, and splits without any."""

from __future__ import annotations

import pytest
from torch import nn

from rk.builtin.digits import Digits
from rk.builtin.mlp import MLP
from rk.errors import UserError
from rk.fit.dryrun import dry_run
from rk.fit.evaluate import split_batches
from rk.fit.smallbatch import SAID, small_batches_explained


@pytest.fixture
def normalised(monkeypatch):
    """Gives the built-in mlp batch normalisation."""
    before = MLP.__init__

    def with_norm(self, *args, **kwargs):
        before(self, *args, **kwargs)
        self.head = nn.Sequential(nn.BatchNorm1d(self.head.in_features), self.head)

    monkeypatch.setattr(MLP, "__init__", with_norm)


@pytest.fixture
def few(monkeypatch):
    """Returns a function that leaves so many digits of a split."""

    def leave(count, split="train"):
        before = Digits.prepare

        def prepare(self):
            before(self)
            self._rows[split] = tuple(part[:count] for part in self._rows[split])

        monkeypatch.setattr(Digits, "prepare", prepare)

    return leave


def test_batch_normalisation_trains_where_one_example_is_left_over(run, few, normalised):
    few(9)
    assert run("data.batch_size=4", "~fit.max_steps", "fit.max_epochs=2").outcome.steps == 6
    assert run("data.batch_size=2", "fit.max_steps=5").outcome.steps == 5


@pytest.mark.parametrize(
    ("size", "left", "said"),
    [(1, 9, "data.batch_size is 1"), (4, 1, "a training batch has one example")],
    ids=["batches of one", "one example"],
)
def test_batch_normalisation_on_one_example_is_the_users_mistake(run, few, normalised, size, left, said):
    few(left)
    with pytest.raises(UserError, match=f"batch of one example, and {said}") as caught:
        run(f"data.batch_size={size}")
    assert "set data.batch_size to 2 or more" in caught.value.hint


def test_a_dry_run_reports_it_too(run, catalog, normalised, tmp_path):
    recipe = run("fit.max_steps=1").recipe
    recipe.data.params["batch_size"] = 1
    with pytest.raises(UserError, match=r"data\.batch_size is 1"):
        list(dry_run(recipe, catalog, tmp_path / "runs"))


def test_torchs_message_is_recognised_and_other_errors_pass():
    with pytest.raises(ValueError, match=SAID):
        nn.BatchNorm1d(2)(nn.Linear(2, 2)(nn.Parameter(nn.Linear(2, 1).weight.detach())))
    with pytest.raises(ValueError, match="another"), small_batches_explained(None):
        raise ValueError("another")


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_without_examples_is_refused_before_training(run, few, tmp_path, split):
    few(0, split)
    with pytest.raises(UserError, match=f"the split {split} has no examples"):
        run()
    assert not list((tmp_path / "runs").glob("*/*"))


def test_nothing_is_measured_on_a_split_without_examples(few):
    few(0, "test")
    data = Digits(seed=0)
    data.prepare()
    with pytest.raises(UserError, match="the split test has no examples"):
        split_batches(data, "test", 3)
