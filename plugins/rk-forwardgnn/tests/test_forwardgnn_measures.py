"""The accuracy of the layers up to each, and the memory of a training step by depth."""

from __future__ import annotations

import csv

import pytest
import torch
from rk_forwardgnn.memory import backward_bytes, forward_bytes, saved_bytes
from rk_forwardgnn.probe import DepthAccuracy

from rk.fields import IGNORED

QUICK = ("model.d_model=16", "data.num_nodes=100", "trainer.layer_steps=10", "fit.validate_every=5")


@pytest.fixture(scope="module")
def batch():
    from rk_graphs.block_model import BlockModel

    data = BlockModel(seed=0, num_nodes=200)
    data.prepare()
    return data.batch("train", 0)


def test_the_accuracy_of_a_depth_is_that_of_the_layers_up_to_it():
    logits = torch.tensor([[[2.0, 1], [0, 1]], [[0, 1], [0, 1]], [[1, 0], [0, 1]]])
    targets = torch.tensor([1, 1, IGNORED])
    for depth, hits in ((1, 1), (2, 2), (5, 2)):
        found, count = DepthAccuracy(depth)(depth_logits=logits, targets=targets)
        assert (int(found), int(count)) == (hits, 2)


def test_the_probe_agrees_with_the_tests_of_the_run(rk_folder):
    run = rk_folder.train("forwardgnn/block-model-quick", *QUICK)
    assert rk_folder.rk("analyze", "layer-probe", "--run", run.path) == 0
    (drawn,) = rk_folder.folder.glob("runs/layer-probe/*/figures/layer-probe.png")
    with drawn.with_suffix(".csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["depth"] for row in rows] == ["1", "2"]
    assert float(rows[-1]["accuracy"]) == pytest.approx(run.read()["metrics"]["test/accuracy"])


def test_forward_learning_keeps_one_layer_and_backpropagation_all(batch):
    forward = [forward_bytes(batch, 5, depth, 32) for depth in (2, 3, 6)]
    backward = [backward_bytes(batch, 5, depth, 32) for depth in (2, 3, 6)]
    assert forward[0] == forward[1] == forward[2]
    assert backward[2] - backward[1] == 3 * (backward[1] - backward[0]) > 0


def test_what_autograd_saves_is_counted_once_and_without_weights():
    linear = torch.nn.Linear(4, 3)
    x = torch.rand(5, 4)
    assert saved_bytes(linear, lambda: linear(x).relu().sum() + linear(x).sum()) == x.nbytes + 5 * 3 * 4
