"""Adapters on frozen models, and models whose layers are replaced."""

from __future__ import annotations

import functools

import pytest
import torch
from rk_snnk.adapters import BottleneckAdapter, SnnkAdapter
from rk_snnk.bundle import Snnk
from rk_snnk.features import ReluFeatures, TrigFeatures
from rk_snnk.replace import SnnkReplace
from rk_vision.conv_net import ConvNet
from torch import nn

from rk import LoadedRun, UserError
from rk.builtin.mlp import MLP
from rk.errors import ExitCode

FEATURES = functools.partial(ReluFeatures, random_features=16)
HEAD = ("head.3.*",)


def net() -> ConvNet:
    torch.manual_seed(0)
    return ConvNet((1, 28, 28), 4, channels=(16, 32), hidden_sizes=(64,)).eval()


def perceptron(sizes=(16, 16)) -> MLP:
    torch.manual_seed(0)
    return MLP(num_features=64, num_classes=10, hidden_sizes=sizes)


def learned(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


# -- adapters ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrap",
    [
        functools.partial(SnnkAdapter, features=FEATURES),
        functools.partial(SnnkAdapter, features=FEATURES, bottleneck=3),
        functools.partial(BottleneckAdapter, bottleneck=3),
    ],
    ids=["snnk", "snnk-3", "bottleneck"],
)
def test_an_adapted_model_begins_as_its_base_and_only_adapters_and_the_new_head_learn(wrap):
    x = torch.rand(2, 1, 28, 28)
    model = wrap(net(), trained=HEAD).eval()
    assert torch.equal(model(inputs=x)["logits"], net()(inputs=x)["logits"])
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    assert all(".adapter." in name or name.startswith("base.head.3.") for name in names)
    assert {name.partition(".adapter")[0] for name in names if "adapter" in name} == {
        "base.blocks.0.0", "base.blocks.1.0", "base.head.1",
    }  # fmt: skip
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
    for _ in range(2):
        model(inputs=x)["logits"].square().sum().backward()
        optimizer.step()
    assert not torch.equal(model(inputs=x)["logits"], net()(inputs=x)["logits"])
    frozen = {name: value for name, value in model.base.state_dict().items() if "adapter" not in name}
    before = net().state_dict()
    assert all(torch.equal(value, before[name]) for name, value in frozen.items() if not name.startswith("head.3"))


def test_sixteen_features_have_a_third_of_the_weights_of_a_bottleneck_of_25():
    head = 64 * 4 + 4
    snnk = learned(SnnkAdapter(net(), FEATURES, trained=HEAD)) - head
    equal, three = (learned(BottleneckAdapter(net(), n, trained=HEAD)) - head for n in (8, 25))
    assert snnk == (16 + 32 + 64) * 17 and snnk <= three / 3 and abs(equal / snnk - 1) < 0.02


def test_a_convolution_is_adapted_at_each_position():
    model = SnnkAdapter(net(), FEATURES, targets=("blocks.0.0",))
    adapter = model.base.blocks[0][0].adapter
    nn.init.ones_(adapter.scale)
    x = torch.rand(1, 1, 28, 28)
    plain = net().blocks[0][0](x)
    found = model.base.blocks[0][0](x)
    pixel = plain[0, :, 3, 5]
    torch.testing.assert_close(found[0, :, 3, 5], pixel + adapter.snnk(pixel))


def test_layers_of_a_language_model_are_adapted():
    causal = pytest.importorskip("rk_lm.causal_lm")
    base = causal.CausalLM(seed=0, model="llama", pretrained=False, random_init=True)
    model = SnnkAdapter(base, FEATURES, targets=("*.o_proj", "*.down_proj"))
    names = {name for name, p in model.named_parameters() if p.requires_grad}
    assert len(names) == 4 * len(base.blocks) and all("adapter" in name for name in names)
    assert model(tokens=torch.tensor([[1, 2, 3]]))["logits"].shape[:2] == (1, 3)


def test_a_pattern_without_a_match_names_what_there_is():
    with pytest.raises(ValueError, match="'hed' matches no linear or convolutional layer that is frozen"):
        SnnkAdapter(net(), FEATURES, targets=("hed",))


# -- replaced layers ---------------------------------------------------------------------------------------------------


def test_a_layer_and_its_activation_become_one():
    base = perceptron()
    weight, bias = base.blocks[1][0].weight, base.blocks[1][0].bias
    features = functools.partial(TrigFeatures, random_features=9)
    model = SnnkReplace(base, features, targets=("blocks.1.*",))
    layer = model.base.blocks[1][0]
    assert model.replaced == ("blocks.1.0",) and isinstance(layer, Snnk)
    assert isinstance(model.base.blocks[1][1], nn.Identity) and isinstance(model.base.blocks[0][0], nn.Linear)
    torch.testing.assert_close(layer.weight, layer.towers[0].of_weights(weight, bias))
    assert SnnkReplace(net(), features).replaced == ("head.1",)


def test_a_model_without_such_layers_is_refused():
    with pytest.raises(ValueError, match="matches no linear layer with an activation behind it"):
        SnnkReplace(MLP(num_features=8, num_classes=3, hidden_sizes=()), FEATURES)


RECIPE = """
rk: 1
model: {name: mlp, hidden_sizes: [16, 16]}
data: {name: digits, batch_size: 64}
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: adam, lr: 0.01}}
fit: {max_steps: 60, seed: 0, threads: 1}
"""
REPLACED = (
    "model={name: snnk-replace, base: {name: mlp, hidden_sizes: [%s]}, source: %s,"
    " features: {name: relu-features, random_features: 400, constant: true}}"
)


def test_replaced_layers_begin_with_the_answers_of_a_trained_run(rk_folder):
    source = rk_folder.train(RECIPE)
    run = rk_folder.train(RECIPE, REPLACED % ("16, 16", source.path), "trainer.optimizer.lr=1e-12", "fit.max_steps=1")
    one, other = LoadedRun.open(source.path), LoadedRun.open(run.path)
    assert other.learner.model.source is None  # the run answers where its source is gone
    batch = next(one.batches("test"))
    wanted, found = (loaded.learner.predict(batch)["logits"] for loaded in (one, other))
    assert (found - wanted).square().mean() < 0.05 * wanted.var()
    assert rk_folder.rk("export", run.path, "--to", "onnx", "-o", "onnx") == ExitCode.OK


def test_a_source_of_another_model_is_refused(rk_folder):
    source = rk_folder.train(RECIPE, "fit.max_steps=1")
    with pytest.raises(UserError, match=r"the same model as base: blocks.0.0.weight is \(16, 64\) there and \(8, 64\)"):
        rk_folder.train(RECIPE, REPLACED % ("8, 8", source.path))


# -- the analysis ------------------------------------------------------------------------------------------------------


def test_errors_of_all_kinds_fall_with_the_number_of_features(tmp_path):
    from rk_snnk.estimation import SnnkError

    found = SnnkError(random_features=(64, 1024), width=8, draws=20).analyze(tmp_path)
    for kind in ("cos", "sin", "relu", "cos, damped", "relu, orthogonal"):
        assert 2.5 < found[f"{kind}/64"] / found[f"{kind}/1024"] < 6.4  # theory: 4
    assert (tmp_path / "snnk-error.png").is_file()
    assert (tmp_path / "snnk-error.csv").read_text().startswith("random features,cos,")
