"""Masks over recurrent layers: from input to hidden, from hidden to hidden, or both."""

from __future__ import annotations

import csv

import pytest
from rk_sparsity.weights import prunable, recurrent_weights
from safetensors.torch import load_file
from torch import nn

from rk import UserError
from rk.catalog import Catalog
from rk.cli import cli
from rk.recipe.find import RecipeFile
from rk.testing import Trial

RECIPE = """
rk: 1
model: {{name: sequence, layer: {layer}, d_model: 8, num_layers: 2}}
data: {{name: adding, length: 8, batch_size: 8, val_examples: 8, test_examples: 8}}
loss: mse
trainer: {{name: backprop, optimizer: {{name: adam, lr: 1e-2}}}}
fit: {{max_steps: 6, seed: 1, threads: 1}}
"""
LAYERS = ["elman", "lstm", "gru", "irnn", "jordan", "{name: bidirectional, layer: gru}"]
KINDS = {"input-to-hidden": "weight_ih", "hidden-to-hidden": "weight_hh"}


def trial(tmp_path, layer, callback):
    path = tmp_path / "recurrent.yaml"
    path.write_text(RECIPE.format(layer=layer) + f"callbacks: [{callback}]\n")
    return Trial(RecipeFile(path), Catalog(), tmp_path / "runs")


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("target", KINDS)
def test_one_kind_of_weights_of_each_recurrent_layer_is_sparse_and_the_others_are_whole(tmp_path, layer, target):
    ended = trial(tmp_path, layer, f"{{name: prune, density: 0.25, distribution: uniform, target: {target}}}").run(2)
    masks = ended.parts.callbacks[0].masks
    matrices = {n: w for n, w in ended.learner.named_parameters() if w.dim() == 2}
    assert {*masks.weights} == {n for n in matrices if n.endswith(KINDS[target])}
    assert len(masks.weights) == (4 if "bidirectional" in layer else 2)
    assert all(4 * int(kept.sum()) == kept.numel() for kept in masks.kept.values())
    assert all(not w[~masks.kept[n]].any() for n, w in masks.weights.items())
    if layer != "irnn":  # the others begin without zeros
        assert all(w.all() for n, w in matrices.items() if n not in masks.weights)


@pytest.mark.parametrize("make", [nn.RNN, nn.LSTM, nn.GRU])
def test_torch_layers_have_the_same_targets(make):
    learner = nn.ModuleDict({"rnn": make(3, 4, num_layers=2, bidirectional=True), "head": nn.Linear(8, 2)})
    found = {target: {*prunable(learner, target=target)} for target in ("recurrent", *KINDS)}
    ends = ("l0", "l0_reverse", "l1", "l1_reverse")
    for target, prefix in KINDS.items():
        assert found[target] == {f"rnn.{prefix}_{end}" for end in ends}
    assert (
        found["recurrent"]
        == found["input-to-hidden"] | found["hidden-to-hidden"]
        == {n for n in recurrent_weights(learner) if "weight" in n}
    )
    cells = nn.ModuleList([nn.LSTMCell(3, 4), nn.GRUCell(3, 4), nn.RNNCell(3, 4)])
    assert {*prunable(cells, target="hidden-to-hidden")} == {f"{i}.weight_hh" for i in range(3)}


def test_target_and_expressions_choose_together(tmp_path):
    callback = "{name: prune, target: hidden-to-hidden, include: ['blocks[.]1'], density: 0.5}"
    assert [*trial(tmp_path, "gru", callback).run(2).parts.callbacks[0].masks.weights] == [
        "model.blocks.1.layer.weight_hh"
    ]


@pytest.mark.parametrize(
    "callback",
    [
        "name: prune, method: snip",
        "name: prune, method: grasp",
        "name: gradual-pruning, update_every: 1",
        "name: dynamic-sparsity, method: rigl, update_every: 2",
        "name: n-of-m, method: sr-ste, n: 1",
    ],
)
def test_every_method_takes_recurrent_weights_alone(tmp_path, callback):
    given = f"{{{callback}, target: hidden-to-hidden" + (", density: 0.25}" if "n-of-m" not in callback else "}")
    masks = trial(tmp_path, "lstm", given).run(6).parts.callbacks[0].masks
    assert masks.density == pytest.approx(0.25, abs=0.01)
    assert {n.rpartition(".")[2] for n in masks.weights} == {"weight_hh"}
    assert all(not w[~masks.kept[n]].any() for n, w in masks.weights.items())


def test_all_weights_from_state_to_state_may_be_removed_but_not_those_of_the_input(tmp_path):
    """The cell path of an LSTM is left, so the layer still answers."""
    removed = "{{name: prune, density: 0, keep_least: 0, target: {}}}"
    ended = trial(tmp_path, "lstm", removed.format("hidden-to-hidden")).run(4)
    assert not any(w.any() for n, w in ended.learner.named_parameters() if n.endswith("weight_hh"))
    assert ended.parts.callbacks[0].masks.density == 0
    with pytest.raises(UserError, match=r"no weight of .*weight_ih is kept"):
        trial(tmp_path, "lstm", removed.format("input-to-hidden")).run(4)
    emptied = removed.format("input-to-hidden, allow_empty: true")
    ended = trial(tmp_path, "lstm", emptied).run(2)
    assert not any(w.any() for n, w in ended.learner.named_parameters() if n.endswith("weight_ih"))


def test_a_learner_without_recurrent_layers_is_refused_with_what_to_do():
    with pytest.raises(UserError, match="target: hidden-to-hidden needs a recurrent layer") as error:
        prunable(nn.Linear(4, 4), target="hidden-to-hidden")
    assert "include" in error.value.hint


def test_tickets_of_recurrent_weights_leave_all_others_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dense.yaml").write_text(RECIPE.format(layer="gru"))
    command = ["analyze", "lottery-ticket", "--recipe", "dense.yaml", "--rounds", "1", "--prune-fraction", "0.5"]
    assert not cli(
        [*command, "--target", "hidden-to-hidden", "--metric", "val/loss", "--runs-dir", "runs"], standalone_mode=False
    )
    out = next((tmp_path / "runs").rglob("tickets.csv")).parent
    assert [float(r["density"]) for r in csv.DictReader((out / "tickets.csv").open())][1:] == [0.5] * 3
    weights = load_file(next(p for p in out.rglob("round-1") if p.is_dir()) / "model.safetensors")
    for name, weight in weights.items():
        if weight.dim() == 2:
            assert (int((weight == 0).sum()) > 0) == name.endswith("weight_hh")
