"""Models that are chains of blocks: one capability, whatever plugin they come from."""

from __future__ import annotations

import pytest
import torch

from rk.blocks import run_blocks, run_exits
from rk.builtin.mlp import MLP
from rk.errors import UserError

BATCH = {"inputs": torch.rand(4, 8), "targets": torch.arange(4)}


@pytest.fixture
def square():
    """A perceptron whose hidden layers have the width of its input."""
    torch.manual_seed(0)
    return MLP(num_features=8, num_classes=3, hidden_sizes=(8, 8, 8))


def test_all_blocks_in_their_order_are_the_model(square):
    assert torch.equal(run_blocks(square, BATCH)["logits"], square(inputs=BATCH["inputs"])["logits"])


def test_blocks_can_be_skipped_and_repeated_where_they_keep_the_shape(square):
    first, _, last = square.blocks
    expected = square.head(last(last(first(BATCH["inputs"]))))
    assert torch.equal(run_blocks(square, BATCH, [0, 2, 2])["logits"], expected)


def test_blocks_that_change_the_shape_cannot_be_skipped():
    model = MLP(num_features=8, num_classes=3, hidden_sizes=(4, 2))
    assert not model.keeps_shape
    with pytest.raises(UserError, match="the blocks of MLP change the shape"):
        run_blocks(model, BATCH, [1])
    with pytest.raises(UserError, match="there is no block 2: the model has 2"):
        run_blocks(model, BATCH, [0, 2])


def test_a_model_answers_after_some_of_its_blocks_in_one_pass(square):
    exits = dict(run_exits(square, BATCH, {3, 1}))
    assert list(exits) == [1, 3]
    assert torch.equal(exits[1]["logits"], run_blocks(square, BATCH, [0])["logits"])
    assert torch.equal(exits[3]["logits"], square(inputs=BATCH["inputs"])["logits"])
    with pytest.raises(UserError, match="there is no exit after 4 blocks: the model has 3"):
        next(run_exits(square, BATCH, {4}))


def test_a_model_whose_blocks_change_the_shape_has_no_early_exit():
    model = MLP(num_features=8, num_classes=3, hidden_sizes=(4, 2))
    with pytest.raises(UserError, match="the blocks of MLP change the shape"):
        next(run_exits(model, BATCH, {1}))
    assert [depth for depth, _ in run_exits(model, BATCH, {2})] == [2]


TRAINER = """
from rk import Layered
from rk.builtin.backprop import Backprop

class OnBlocks(Backprop):
    def setup(self, *, model: Layered, loss, runtime): ...
"""
NET = """
from rk.fields import LogitsOutputs
from torch import nn

class Flat(nn.Module):
    def forward(self, *, inputs) -> LogitsOutputs: ...
"""


@pytest.mark.parametrize(("model", "said"), [("mlp", None), ("flat", "on-blocks needs a model with `blocks` and")])
def test_a_trainer_requires_layered_models_by_their_protocol(workshop, check, model, said):
    plugin = workshop.plugin("odd", TRAINER + NET, trainers={"on-blocks": "OnBlocks"}, models={"flat": "Flat"})
    text = f"""
        rk: 1
        model: {model}
        data: digits
        loss: cross-entropy
        trainer: {{name: on-blocks, optimizer: adam}}
        fit: {{max_steps: 1}}
    """
    lines = check(text, catalog=workshop.catalog(plugin)).lines
    assert lines == [] if said is None else any(said in line for line in lines)
