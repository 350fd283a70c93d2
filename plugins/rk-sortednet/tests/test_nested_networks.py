"""A sub-network is the network of its own leading weights; training draws sub-networks as the recipe says."""

from __future__ import annotations

import csv
import functools
import math
from collections import Counter
from pathlib import Path

import pytest
import torch
from rk_sequence.attention import Attention
from rk_sequence.language_model import LanguageModel
from rk_sortednet.extract import own_statistics
from rk_sortednet.heads import fused_parts
from rk_sortednet.nested import Nested
from rk_sortednet.residual import ResidualMLP
from rk_sortednet.slicing import Width, leading
from rk_sortednet.subnets import Subnet, grid
from rk_sortednet.trainer import Sorted
from torch import nn

from rk import LoadedRun, UserError
from rk.builtin.losses import CrossEntropy
from rk.catalog import Catalog
from rk.cli import cli
from rk.recipe.find import RecipeFile
from rk.runs import RunFolder
from rk.testing import Trial

LAYERS = ("stem", "blocks.*")
SUBNETS = grid((0.25, 0.5, 1.0), (1, 2, 3))
INPUTS = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
BATCH = {"inputs": INPUTS, "targets": torch.tensor([0, 1, 2, 3, 0])}
TEXT = """
rk: 1
model: {name: residual-mlp, hidden_size: 16, num_layers: 2}
data: {name: digits, batch_size: 16}
loss: cross-entropy
trainer:
  {name: sorted, optimizer: {name: adam, lr: 1e-2}, layers: [stem, "blocks.*"], widths: [0.25, 1.0], depths: [1, 2]}
fit: {max_steps: 8, seed: 1, threads: 1}
"""


def nested(subnets=SUBNETS):
    torch.manual_seed(1)
    return Nested(ResidualMLP(8, 4, 16, 3), CrossEntropy(), subnets, LAYERS, subnets)


@pytest.mark.parametrize("subnet", SUBNETS, ids=lambda s: s.name)
def test_a_sub_network_is_the_network_of_its_leading_weights(subnet):
    whole = nested()
    small = ResidualMLP(8, 4, math.ceil(16 * subnet.width), subnet.depth)
    weights = {n.removeprefix("model."): t for n, t in whole.state_dict().items()}
    small.load_state_dict(leading(weights, {n: t.shape for n, t in small.state_dict().items()}))
    with whole.at(subnet):
        torch.testing.assert_close(whole.predict(BATCH)["logits"], small(inputs=INPUTS)["logits"])
    assert torch.equal(whole.predict(BATCH)["logits"], ResidualMLP.forward(whole.model, inputs=INPUTS)["logits"])


def test_only_the_weights_of_the_sub_network_learn():
    whole = nested()
    with whole.at(Subnet(0.5, 2)):
        whole(BATCH)[0].backward()
    assert whole.model.blocks[2].linear.weight.grad is None
    gradient = whole.model.blocks[0].linear.weight.grad
    assert gradient[:8, :8].any() and not gradient[8:].any() and not gradient[:, 8:].any()


def test_exits_of_one_pass_have_the_objective_and_the_gradients_of_a_pass_each():
    whole, parts = nested(), [Subnet(0.5, depth) for depth in (3, 1, 2)]
    total, count = 0.0, 0
    for part in parts:
        with whole.at(part):
            objective = whole(BATCH)
        total, count = total + objective[0], count + objective[1]
    expected = torch.autograd.grad(total, [*whole.parameters()])
    with whole.at(*parts), Counted(whole.model.blocks[0]) as calls:
        once = whole(BATCH)
    assert (calls.number, once[1]) == (1, count) and once[0].item() == pytest.approx(total.item(), rel=1e-6)
    for one, other in zip(torch.autograd.grad(once[0], [*whole.parameters()]), expected, strict=True):
        torch.testing.assert_close(one, other)


def test_every_layer_may_have_a_share_of_its_own():
    whole, small = Plain(8, 8), Plain(2, 6)
    nested = Nested(whole, CrossEntropy(), grid((0.25, 1.0), (None,)), ("one", "two"), ())
    small.load_state_dict(leading(whole.state_dict(), {n: t.shape for n, t in small.state_dict().items()}))
    with nested.at(Subnet(0.25, None, shares=(0.25, 0.75))):
        torch.testing.assert_close(nested.predict(BATCH)["logits"], small(inputs=INPUTS)["logits"])
    drawn = trainer(per_layer=True)
    drawn.learner = nested
    mixed = [drawn.mixed(Subnet(0.25, None), 0, step, 0) for step in range(300)]
    assert Counter(m.shares for m in mixed).keys() == {(a, b) for a in drawn.widths for b in drawn.widths}
    assert drawn.mixed(nested.whole, 0, 0, 0) == nested.whole


class Plain(nn.Module):
    """Two hidden layers, each of its own width."""

    def __init__(self, first, second):
        super().__init__()
        self.one, self.two, self.head = nn.Linear(8, first), nn.Linear(first, second), nn.Linear(second, 4)

    def forward(self, *, inputs):
        return {"logits": self.head(self.two(self.one(inputs).relu()).relu())}


class Counted:
    """Counts the calls of a module."""

    def __init__(self, module):
        self.module, self.number = module, 0

    def __enter__(self):
        self.handle = self.module.register_forward_hook(lambda *_: setattr(self, "number", self.number + 1))
        return self

    def __exit__(self, *_):
        self.handle.remove()


class Conv(nn.Module):
    """Convolutions, batch and layer normalisation, and a flattening, of which widths are cut."""

    def __init__(self, channels=8):
        super().__init__()
        self.one, self.norm = nn.Conv2d(2, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.two, self.head = nn.Conv2d(channels, channels, 3), nn.Linear(4 * channels, 3)
        self.last = nn.LayerNorm(3)

    def forward(self, *, inputs):
        hidden = self.two(self.norm(self.one(inputs)).relu())
        return {"logits": self.last(self.head(hidden.flatten(1)))}


def test_convolutions_and_their_norms_are_cut_each_width_with_its_own_statistics():
    torch.manual_seed(0)
    model, small, images = Conv(), Conv(4), torch.randn(6, 2, 4, 4)
    width = Width(model, ["one", "two"], (0.5, 1.0))
    width.share = 0.5
    model.train()
    small.load_state_dict(
        leading(own_statistics(model.state_dict(), 0.5), {n: t.shape for n, t in small.state_dict().items()})
    )
    for _ in range(3):
        torch.testing.assert_close(model(inputs=images)["logits"], small(inputs=images)["logits"])
    assert not model.norm.running_mean.any(), "those of the whole network are its own"
    torch.testing.assert_close(model.norm.running_mean_at_0_5[:4], small.norm.running_mean)
    torch.testing.assert_close(model.eval()(inputs=images)["logits"], small.eval()(inputs=images)["logits"])


def test_at_full_width_every_layer_runs_its_own_forward_bit_equal():
    torch.manual_seed(0)
    model, images = Conv().eval(), torch.randn(6, 2, 4, 4)
    before = model(inputs=images)["logits"]
    Width(model, ["one"], (0.5, 1.0))
    assert torch.equal(model(inputs=images)["logits"], before)


# -- heads -------------------------------------------------------------------------------------------------------------


def language_model(num_heads, head_dim=None, mlp_ratio=3):
    layer = functools.partial(Attention, num_heads=num_heads, head_dim=head_dim)
    torch.manual_seed(0)
    return LanguageModel(vocab_size=7, layer=layer, d_model=16, num_layers=2, mlp_ratio=mlp_ratio)


TOKENS = {"tokens": torch.randint(7, (2, 9), generator=torch.Generator().manual_seed(0))}


@pytest.mark.parametrize("heads", [1, 2, 3, 4])
def test_a_sub_network_of_fewer_heads_is_the_network_of_its_first_heads(heads):
    whole = language_model(4)
    nested = Nested(whole, CrossEntropy(), grid((1.0,), (1, 2), (1, 2, 3, 4)), (), ())
    small = language_model(heads, head_dim=4)
    shapes = {n: t.shape for n, t in small.state_dict().items()}
    small.load_state_dict(leading(whole.state_dict(), shapes, fused_parts(whole)))
    before = whole(**TOKENS)["logits"]
    with nested.at(Subnet(1.0, 2, heads)):
        torch.testing.assert_close(nested.predict(TOKENS)["logits"], small(**TOKENS)["logits"])
        (whole(**TOKENS)["logits"]).sum().backward()
        _, state = whole.scan(tokens=TOKENS["tokens"], state=whole.initial_state(2))
        assert state["layers"][0][0].shape == (2, 9, heads, 4), "it streams with as many heads"
    kept = whole.blocks[0].layer.in_proj.weight.grad.view(3, 4, 4, 16)
    assert kept[:, :heads].any() and not kept[:, heads:].any()
    assert torch.equal(whole(**TOKENS)["logits"], before)


def test_the_two_halves_of_a_gated_mlp_are_narrowed_alike():
    whole, small = language_model(4), language_model(4, mlp_ratio=1.5)
    shapes = {n: t.shape for n, t in small.state_dict().items()}
    small.load_state_dict(leading(whole.state_dict(), shapes, fused_parts(whole)))
    nested = Nested(whole, CrossEntropy(), grid((0.5, 1.0), (None,)), ("blocks.*.gate_up",), ())
    with nested.at(Subnet(0.5, None)):
        torch.testing.assert_close(nested.predict(TOKENS)["logits"], small(**TOKENS)["logits"])


@pytest.mark.parametrize(
    ("model", "heads", "layers", "message"),
    [
        (language_model(4), (1, 2), (), "blocks.0.layer has 4 heads: heads must end with that, got 2"),
        (ResidualMLP(8, 4), (1, 2), (), "no layer of ResidualMLP declares heads"),
        (language_model(4), (), ("blocks.*",), "'blocks.*' matches blocks.0.layer.in_proj, whose outputs are heads"),
    ],
)
def test_heads_that_do_not_fit_are_refused(model, heads, layers, message):
    with pytest.raises(UserError) as error:
        Nested(model, CrossEntropy(), grid((0.5, 1.0), (None,), heads or (None,)), layers, ())
    assert message in error.value.message


def test_names_of_sub_networks_are_read_back():
    for subnet in grid((0.5, 1.0), (None, 1, 2), (None, 1, 4)):
        assert Subnet.named(subnet.name) == subnet
    assert Subnet.named("ema") is None


# -- drawing -----------------------------------------------------------------------------------------------------------


def trainer(**settings):
    return Sorted(3, object(), LAYERS, (0.25, 0.5, 1.0), (1, 2, 3), **settings)


def test_sub_networks_are_drawn_uniformly_by_seed_step_and_micro_batch():
    one = trainer()
    drawn = [one.drawn(step, micro)[0] for step in range(500) for micro in range(2)]
    assert drawn == [trainer().drawn(step, micro)[0] for step in range(500) for micro in range(2)]
    counts = Counter(subnet.name for subnet in drawn)
    assert len(counts) == 9 and min(counts.values()) > 70 and max(counts.values()) < 160
    weighted = Counter(trainer(sampling="weighted").drawn(step, 0)[0].name for step in range(500))
    assert weighted["w1-d3"] > 230


def test_the_rivals_take_several_sub_networks_of_a_batch_the_whole_one_first():
    assert {s.name for step in range(50) for s in trainer(sampling="whole").drawn(step, 0)} == {"w1-d3"}
    names = [s.name for s in trainer(sampling="sandwich").drawn(0, 0)]
    assert (names[0], names[-1], len(names)) == ("w1-d3", "w0.25-d1", 3)
    assert len(trainer(sampling="all").drawn(0, 0)) == 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("trainer.widths=[0.5]", "widths must contain 1.0"),
        ("trainer.layers=[]", "layers must name the layers that are narrowed"),
        ("trainer.layers=[stm]", "layers: 'stm' matches no linear layer or convolution"),
        ("trainer.depths=[1, 3]", "the model has 2 blocks: depths must end with 2, got 3"),
        ("trainer.per_layer=true; trainer.widths=[1.0]", "per_layer needs several widths"),
        ("trainer.distill=true", "distill needs sampling sandwich or all, got uniform"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, change, message):
    path = tmp_path / "r.yaml"
    path.write_text(TEXT)
    with pytest.raises(UserError) as error:
        Trial(RecipeFile(path), Catalog(), tmp_path, tuple(change.split("; "))).run(2)
    assert message in error.value.render()


# -- with other plugins ------------------------------------------------------------------------------------------------

LANGUAGE = """
rk: 1
model: {name: sequence, layer: gru, d_model: 8, num_layers: 3}
data: {name: parity, batch_size: 8}
loss: {name: cross-entropy, ignore_index: -100}
trainer: {name: sorted, optimizer: {name: adam, lr: 1e-2}, depths: [1, 2, 3]}
fit: {max_steps: 4, seed: 1, threads: 1}
"""
IMAGES = """
rk: 1
model: {name: conv-net, channels: [8, 8]}
data: {name: digits, batch_size: 16}
loss: cross-entropy
trainer:
  name: sorted
  optimizer: {name: adam, lr: 1e-2}
  layers: ["blocks.*"]
  widths: [0.5, 1.0]
  sampling: sandwich
  distill: true
fit: {max_steps: 4, seed: 1, threads: 1, accumulate: 2}
"""


def test_a_recurrent_network_is_nested_in_depth(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(LANGUAGE)
    ended = Trial(RecipeFile(path), Catalog(), tmp_path).run(4)
    assert any(name.endswith("accuracy@w1-d1") for name in ended.metrics)


def test_images_by_sandwich_and_distillation(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(IMAGES)
    ended = Trial(RecipeFile(path), Catalog(), tmp_path).run(4)
    assert any(name.endswith("accuracy@w0.5") for name in ended.metrics)


# -- what comes out ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sorted")
    (folder / "r.yaml").write_text(TEXT + "callbacks: [subnet-table]\n")
    assert not cli(["train", str(folder / "r.yaml"), "--runs-dir", str(folder)], standalone_mode=False)
    return next(RunFolder.all(folder))


def test_a_table_and_a_figure_have_every_sub_network(done):
    rows = [*csv.DictReader((done.path / "subnets.csv").open())]
    assert [(float(r["width"]), int(r["depth"])) for r in rows] == [(0.25, 1), (1, 1), (0.25, 2), (1, 2)]
    metrics = done.read()["metrics"]
    values = [float(row["test/accuracy"]) for row in rows]
    assert metrics["run/subnets-mean"] == pytest.approx(sum(values) / 4) and metrics["run/subnets-worst"] == min(values)
    assert float(rows[-1]["test/accuracy"]) == metrics["test/accuracy"]
    assert (done.figures / "subnets.png").stat().st_size > 5000


def test_a_sub_network_becomes_an_ordinary_run_with_the_same_answers(done, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    changes = "{model.hidden_size: 4, model.num_layers: 1}"
    command = ["analyze", "extract-subnet", "--run", str(done.path), "--changes", changes, "--runs-dir", "runs"]
    assert not cli(command, standalone_mode=False)
    small = LoadedRun.open(next(Path("runs").rglob("subnet/model.safetensors")).parent)
    whole = LoadedRun.open(done.path)
    batch = next(whole.batches("test", 1))
    with whole.learner.at(Subnet(0.25, 1)), torch.no_grad():
        expected = whole.learner.predict(batch)["logits"]
    torch.testing.assert_close(small.learner.predict(batch)["logits"], expected)
    metric = done.read()["metrics"]["test/accuracy@w0.25-d1"]
    assert small.evaluate()["test/accuracy"] == pytest.approx(metric)
    assert sum(p.numel() for p in small.learner.parameters()) == 64 * 4 + 4 + 4 * 4 + 4 + 4 * 10 + 10


def test_larger_layers_than_the_run_has_are_refused(done, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["analyze", "extract-subnet", "--run", str(done.path), "--changes", "{model.hidden_size: 32}"]
    with pytest.raises(UserError, match="in the sub-network and") as error:
        cli([*command, "--runs-dir", "runs"], standalone_mode=False)
    assert error.value.hint == "a sub-network is nowhere larger than the run"


def test_a_budget_names_the_best_sub_network_that_keeps_it(done, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["analyze", "subnet-budget", "--run", str(done.path), "--repeats", "1", "--runs-dir", "runs"]
    assert not cli([*command, "--max-parameters", "400"], standalone_mode=False)
    rows = {row["sub-network"]: row for row in csv.DictReader(next(Path("runs").rglob("subnets.csv")).open())}
    assert {n: int(r["parameters"]) for n, r in rows.items()} == {
        "w0.25-d1": 64 * 4 + 4 + 20 + 50,
        "w0.25-d2": 64 * 4 + 4 + 40 + 50,
        "w1-d1": 64 * 16 + 16 + 272 + 170,
        "w1-d2": 64 * 16 + 16 + 544 + 170,
    }
    assert int(rows["w0.25-d1"]["flops"]) == 2 * (64 * 4 + 4 * 4 + 4 * 10)
    assert "w0.25-d" in capsys.readouterr().out
    with pytest.raises(UserError, match="no sub-network keeps the budget") as error:
        cli([*command, "--max-parameters", "10"], standalone_mode=False)
    assert "has 330 parameters" in error.value.hint
