"""`lora`: what an adapted model answers, what of it learns, and that it can be merged into the base."""

from __future__ import annotations

import copy

import pytest
import torch
from rk_lora.lora import Adapter, Lora, adapters
from rk_lora.merged import merged
from rk_lora.naive import naive_adapted
from safetensors.torch import load_file
from torch import nn

from rk import LoadedRun, UserError
from rk.builtin.mlp import MLP
from rk.errors import ExitCode, RecipeError
from rk.runs import RunFolder
from rk.testing import assert_twins

RECIPE = """
rk: 1
model: {name: mlp, hidden_sizes: [16, 16]}
data: {name: digits, batch_size: 32}
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: adam, lr: 0.01}}
fit: {max_steps: 8, seed: 0, threads: 1}
"""
ADAPTED = "model={name: lora, base: {name: mlp, hidden_sizes: [16, 16]}, rank: 2, trained: ['head.*']}"


def perceptron() -> MLP:
    torch.manual_seed(0)
    return MLP(num_features=12, num_classes=3, hidden_sizes=(8, 8))


def moved(model: nn.Module) -> nn.Module:
    """Gives the adapters other values than their first ones."""
    with torch.no_grad():
        for _, adapter in adapters(model):
            adapter.B.normal_()
    return model


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(5, 12, generator=torch.Generator().manual_seed(1))


# -- the equation ------------------------------------------------------------------------------------------------------


def test_an_adapted_layer_answers_as_its_naive_twin():
    class Adapted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(12, 7)

        def forward(self, *, inputs):
            return {"values": self.layer(inputs)}

    model = moved(Lora(Adapted(), rank=3, alpha=5.0))
    layer = model.base.layer

    def naive(x, a, b):
        return naive_adapted(x, layer.weight, layer.bias, a, b, 5.0)

    def fast(x, a, b):
        with torch.no_grad():
            layer.lora.A.copy_(a), layer.lora.B.copy_(b)
        return torch.func.functional_call(model, {"base.layer.lora.A": a, "base.layer.lora.B": b}, (), {"inputs": x})[
            "values"
        ]

    x, a, b = torch.randn(4, 12), torch.randn(3, 12), torch.randn(7, 3)
    assert_twins(fast, naive, x, a, b)


def test_the_merged_weight_gives_the_same_answer(x):
    model = moved(Lora(perceptron(), rank=2, alpha=6.0)).eval()
    plain = perceptron().eval()
    plain.load_state_dict(merged(model))
    torch.testing.assert_close(plain(inputs=x)["logits"], model(inputs=x)["logits"])


def test_it_equals_peft(x):
    peft = pytest.importorskip("peft")
    theirs = peft.get_peft_model(
        nn.Sequential(nn.Linear(12, 7)), peft.LoraConfig(r=3, lora_alpha=5, target_modules=["0"], lora_dropout=0.0)
    ).eval()
    own = theirs.base_model.model[0]
    adapter = Adapter(own.base_layer, 3, 5.0, 0.0)
    with torch.no_grad():
        own.lora_B["default"].weight.normal_()
        adapter.A.copy_(own.lora_A["default"].weight), adapter.B.copy_(own.lora_B["default"].weight)
    torch.testing.assert_close(own.base_layer(x) + adapter(x), theirs(x))
    torch.testing.assert_close(adapter.update(), own.get_delta_weight("default"))


# -- the beginning -----------------------------------------------------------------------------------------------------


def test_it_begins_as_its_base_bit_for_bit(x):
    assert torch.equal(Lora(perceptron(), dropout=0.5)(inputs=x)["logits"], perceptron()(inputs=x)["logits"])


def test_a_begins_normal_with_the_deviation_of_its_inputs_and_b_with_zeros():
    adapter = Adapter(nn.Linear(400, 30), 100, 16.0, 0.0)
    assert adapter.A.std().item() == pytest.approx(1 / 20, rel=0.03)
    assert not adapter.B.any()


def test_only_the_small_matrices_and_what_is_trained_whole_learn(x):
    model = Lora(perceptron(), rank=2, targets=("blocks.*",), trained=("head.*",))
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {
        *(f"base.blocks.{i}.0.lora.{which}" for i in (0, 1) for which in "AB"), "base.head.weight", "base.head.bias",
    }  # fmt: skip
    model(inputs=x)["logits"].sum().backward()
    assert {name for name, p in model.named_parameters() if p.grad is not None} == trained


def test_targets_choose_the_layers():
    assert [name for name, _ in adapters(Lora(perceptron(), targets=("head",)).base)] == ["head"]
    assert [name for name, _ in adapters(Lora(perceptron(), targets=("blocks.1.*", "head")).base)] == [
        "blocks.1.0", "head",
    ]  # fmt: skip


def test_dropout_is_that_of_the_adapters_and_off_in_eval_mode(x):
    model = moved(Lora(perceptron(), dropout=0.5))
    assert not torch.equal(model(inputs=x)["logits"], model(inputs=x)["logits"])
    model.eval()
    assert torch.equal(model(inputs=x)["logits"], model(inputs=x)["logits"])


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.head = nn.BatchNorm1d(12), nn.Linear(12, 3)

    def forward(self, *, inputs):
        return {"logits": self.head(self.norm(inputs))}


def test_the_statistics_of_a_frozen_base_do_not_move(x):
    model = Lora(Normed())
    model.train()
    model(inputs=x)
    assert model.base.norm.num_batches_tracked == 0 and model.base.head.training
    trained = Lora(Normed(), trained=("norm.*",))
    trained(inputs=x)
    assert trained.base.norm.num_batches_tracked == 1


def test_a_copy_has_its_own_adapters(x):
    model = Lora(perceptron())
    other = moved(copy.deepcopy(model))
    assert torch.equal(model(inputs=x)["logits"], perceptron()(inputs=x)["logits"])
    assert not torch.equal(other(inputs=x)["logits"], model(inputs=x)["logits"])


# -- mistakes ----------------------------------------------------------------------------------------------------------


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.hidden, self.head = nn.MultiheadAttention(12, 2), nn.Linear(12, 12), nn.Linear(12, 3)

    def forward(self, *, inputs):
        hidden = self.inner(inputs, inputs, inputs)[0]
        return {"logits": self.head(nn.functional.linear(hidden, self.hidden.weight))}


def test_a_layer_that_is_not_called_is_named_at_the_first_forward_pass(x):
    with pytest.raises(UserError, match="uses the weights of hidden without calling it") as error:
        Lora(Attention())(inputs=x)
    assert error.value.hint == "targets that leave it out; there are: head"
    assert Lora(Attention(), targets=("head",))(inputs=x)["logits"].shape == (5, 3)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"targets": ("hed",)}, "targets: 'hed' matches no linear layer that is frozen .did you mean head"),
        ({"targets": ("inner.*",)}, "targets: 'inner.*' matches no linear layer"),
        ({"trained": ("hed.*",)}, "trained: 'hed.*' matches no weight"),
        ({"targets": ("head",), "trained": ("head.*",)}, "targets: 'head' matches no linear layer that is frozen"),
    ],
)
def test_patterns_that_match_nothing_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        Lora(Attention(), **settings)


# -- runs --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def base(rk_folder) -> RunFolder:
    return rk_folder.train(RECIPE)


def test_the_base_takes_its_weights_from_a_run_of_its_own_and_keeps_all_but_the_head(rk_folder, base, capsys):
    run = rk_folder.train(RECIPE, ADAPTED, "fit.seed=5", "--from", base.path)
    assert "init_from: 6 of 10 weights are those of recipe" in capsys.readouterr().out
    before, after = load_file(base.model), load_file(run.model)
    for name in before:
        same = torch.equal(before[name], after[name.replace("model.", "model.base.")])
        assert same == ("head" not in name), name


def test_a_merged_run_is_one_of_the_base_with_the_same_answers(rk_folder, base, x):
    run = rk_folder.train(RECIPE, ADAPTED, "--from", base.path)
    assert rk_folder.rk("export", run.path, "--to", "merged", "-o", "merged") == ExitCode.OK
    one, other = LoadedRun.open(run.path), LoadedRun.open(rk_folder.folder / "merged")
    assert isinstance(other.learner.model, MLP)
    batch = next(one.batches("test"))
    torch.testing.assert_close(one.learner.predict(batch)["logits"], other.learner.predict(batch)["logits"])
    assert rk_folder.rk("export", "merged", "--to", "safetensors", "-o", "file") == ExitCode.OK
    assert load_file("file/model.safetensors").keys() == load_file(base.model).keys()
    again = rk_folder.train(RECIPE, "--from", "file/model.safetensors", "trainer.optimizer.lr=1e-12")
    torch.testing.assert_close(load_file(again.model), load_file("file/model.safetensors"))


def test_an_adapted_run_answers_and_exports_as_it_is(rk_folder, base):
    run = rk_folder.train(RECIPE, ADAPTED, "--from", base.path)
    for format_ in ("onnx", "hub"):
        assert rk_folder.rk("export", run.path, "--to", format_, "-o", format_) == ExitCode.OK
    assert rk_folder.rk("eval", "hub") == ExitCode.OK


def test_a_wrapped_adapted_model_is_merged_in_its_place():
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.teacher, self.student = perceptron(), Lora(perceptron())

    weights = merged(moved(Outer()))
    assert {name.partition(".")[0] for name in weights} == {"teacher", "student"}
    assert {n.partition(".")[2] for n in weights} == set(perceptron().state_dict())


def test_a_run_without_adapters_cannot_be_merged(rk_folder, base):
    with pytest.raises(UserError, match="has 0 models lora"):
        rk_folder.rk("export", base.path, "--to", "merged", "-o", "merged")


def test_a_pattern_without_a_match_is_a_mistake_of_the_recipe(rk_folder):
    with pytest.raises(RecipeError, match="model: lora: targets: 'hed' matches no linear layer"):
        rk_folder.train(RECIPE, "model={name: lora, base: mlp, targets: [hed]}")
