"""Few blocks that run many times: their layouts, what they begin with, and what each layer adds of its own."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rk_recursion.initial import sources
from rk_recursion.layouts import Layout
from rk_recursion.recursive import Recursive
from rk_recursion.relaxation import LowRank, linear_layers, merged, relax, truncate, with_own_norms, without
from rk_recursion.stack import initialise, looped, tied
from rk_recursion.twins import deep_twin
from torch import nn

from rk.blocks import run_blocks
from rk.builtin.mlp import MLP
from rk.errors import UserError

SHARINGS = ("cycle", "sequence", "middle-cycle", "middle-sequence")


class Layer(nn.Module):
    """A residual layer with a norm, as blocks of transformers have."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 9, bias=False), nn.Linear(9, width, bias=False)

    def forward(self, x):
        return x + self.down(self.up(self.norm(x)).relu())


def plain(count: int = 6) -> nn.ModuleList:
    """Layers without loops, whose weights are all different."""
    torch.manual_seed(0)
    layers = nn.ModuleList(Layer() for _ in range(count))
    for p in layers.parameters():
        nn.init.normal_(p, std=0.5)
    return layers


def states(layers):
    return [{name: t.clone() for name, t in layer.state_dict().items()} for layer in layers]


def run(layers, x):
    for layer in layers:
        x = layer(x)
    return x


X = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))

# the layouts


@pytest.mark.parametrize(
    ("sharing", "blocks", "loops"),
    [
        ("cycle", (0, 1, 2, 0, 1, 2), (0, 0, 0, 1, 1, 1)),
        ("sequence", (0, 0, 1, 1, 2, 2), (0, 1, 0, 1, 0, 1)),
        ("middle-cycle", (0, 1, 2, 1, 2, 3), (0, 0, 0, 1, 1, 0)),
        ("middle-sequence", (0, 1, 1, 2, 2, 3), (0, 0, 1, 0, 1, 0)),
    ],
)
def test_which_block_each_of_six_layers_runs_in_two_loops(sharing, blocks, loops):
    layout = Layout(6, 2, sharing)
    assert (layout.blocks, layout.loops) == (blocks, loops)


def test_a_model_of_the_size_of_smollm_has_as_many_blocks_as_the_paper_says():
    assert Layout(32, 2, "middle-cycle").num_blocks == 17
    assert Layout(32, 3, "middle-cycle").num_blocks == 12


@given(st.integers(1, 6), st.integers(1, 4), st.sampled_from(SHARINGS))
def test_every_shared_block_runs_once_in_each_loop(shared, loops, sharing):
    layers = shared * loops + 2 * (sharing.startswith("middle") and loops > 1)
    layout = Layout(layers, loops, sharing)
    assert len(layout.blocks) == layers
    assert set(layout.blocks) == set(range(layout.num_blocks))
    first = int(layout.has_ends)
    assert all(len(layout.layers(first + block)) == loops for block in range(layout.num_shared))


def test_loops_must_divide_the_layers_that_share_blocks():
    with pytest.raises(ValueError, match="num_loops must divide the 6 layers that share blocks, got 4"):
        Layout(6, 4)
    with pytest.raises(ValueError, match="must divide the 5 layers between the first and the last that share"):
        Layout(7, 2, "middle-cycle")


def test_a_model_that_cycles_can_be_left_after_each_loop():
    assert Layout(6, 2).exits == (3, 6)
    assert Layout(8, 3, "middle-cycle").exits == (3, 5, 8)
    assert Layout(6, 2, "sequence").exits == (6,)
    assert Layout(6).exits == (6,)


# what blocks begin with


@pytest.mark.parametrize(
    ("layers", "loops", "expected"),
    [
        (6, 2, [0, 2, 5]),
        (18, 2, [0, 2, 4, 6, 8, 11, 13, 15, 17]),
        (22, 2, [0, 2, 4, 6, 8, 10, 13, 15, 17, 19, 21]),
        (12, 2, [0, 2, 4, 7, 9, 11]),
    ],
)
def test_stepwise_takes_the_published_layers(layers, loops, expected):
    assert [layer for (layer,) in sources(Layout(layers, loops), "stepwise")] == expected


def test_other_initialisations_take_the_first_the_last_and_random_layers():
    layout = Layout(8, 3, "middle-cycle")
    assert sources(layout, "lower") == [(0,), (1,), (2,), (7,)]
    assert sources(layout, "upper") == [(0,), (5,), (6,), (7,)]
    assert sources(layout, "average") == [(0,), (1, 3, 5), (2, 4, 6), (7,)]
    assert sources(layout, "random") == [(0,), (), (), (7,)]
    drawn = [layer for (layer,) in sources(layout, "random-layers", seed=3)][1:-1]
    assert drawn == sorted(set(drawn))
    assert set(drawn) <= set(range(1, 7))


def test_blocks_begin_with_the_mean_of_their_layers():
    layers, layout = plain(), Layout(6, 2)
    before = states(layers)
    shared = tied(layers, layout)
    initialise(shared, layout, before, "average")
    for block in range(3):
        expected = (before[block]["up.weight"] + before[block + 3]["up.weight"]) / 2
        torch.testing.assert_close(shared[block].up.weight, expected)
        assert shared[block] is shared[block + 3]


def test_layers_of_different_shapes_cannot_share_a_block():
    with pytest.raises(ValueError, match="must have weights of the same names and shapes"):
        tied([nn.Linear(2, 2), nn.Linear(2, 2, bias=False)], Layout(2, 2))


# what each layer adds


@pytest.mark.parametrize("initial", ["stepwise", "average", "lower", "random"])
@pytest.mark.parametrize("sharing", SHARINGS)
def test_the_full_rank_gives_back_the_layers_without_loops(sharing, initial):
    layers = plain()
    layout, before, expected = Layout(6, 2, sharing), states(layers), run(layers, X)
    shared = tied(layers, layout)
    initialise(shared, layout, before, initial)
    own = relax(shared, layout, rank=9, states=before, own_norms=True)
    torch.testing.assert_close(run(own, X), expected, atol=1e-5, rtol=1e-4)


def test_the_svd_is_the_best_approximation_of_its_rank():
    residual = torch.randn(7, 5, generator=torch.Generator().manual_seed(2))
    low = LowRank(nn.Linear(5, 7), rank=2)
    low.fit(residual)
    u, s, vh = torch.linalg.svd(residual)
    naive = sum(s[i] * torch.outer(u[:, i], vh[i]) for i in range(2))
    torch.testing.assert_close(low.B @ low.A, naive)
    torch.testing.assert_close((residual - low.B @ low.A).norm(), s[2:].norm())


def test_with_two_loops_the_differences_from_the_mean_are_opposite():
    layout, layers = Layout(4, 2), plain(4)
    before = states(layers)
    shared = tied(layers, layout)
    initialise(shared, layout, before, "average")
    own = relax(shared, layout, rank=3, states=before)
    for low, high in ((0, 2), (1, 3)):
        a, b = own[low].up.relaxation, own[high].up.relaxation
        torch.testing.assert_close(a.B @ a.A, -(b.B @ b.A))


def test_zero_changes_no_answer_at_first_and_all_weights_learn():
    layout, layers = Layout(6, 2), plain()
    shared = tied(layers, layout)
    expected = run(shared, X)
    own = relax(shared, layout, rank=2)
    answer = run(own, X)
    assert torch.equal(answer, expected)
    answer.sum().backward()
    gradient = {name for name, p in own.named_parameters() if p.grad is not None}
    assert gradient == {name for name, _ in own.named_parameters()}


def test_a_layer_answers_with_the_sum_of_the_shared_matrix_and_its_own():
    layout = Layout(4, 2)
    torch.manual_seed(0)
    own = relax(looped(lambda: nn.Linear(5, 3), layout), layout, rank=2)
    for layer in own:
        nn.init.normal_(layer.relaxation.B)
    x = torch.randn(2, 5)
    for layer in own:
        whole = layer.weight + layer.relaxation.B @ layer.relaxation.A
        torch.testing.assert_close(layer(x), nn.functional.linear(x, whole, layer.bias))


def test_the_rank_ends_at_the_size_of_the_layer():
    layout = Layout(2, 2)
    own = relax(looped(lambda: nn.Linear(5, 3), layout), layout, rank=64)
    assert own[0].relaxation.A.shape == (3, 5)


def test_layers_that_run_a_block_alone_add_nothing():
    layout = Layout(6, 2, "middle-cycle")
    own = relax(looped(Layer, layout), layout, rank=2)
    has = ["relaxation" in dict(layer.up.named_children()) for layer in own]
    assert has == [False, True, True, True, True, False]


def test_a_stack_that_is_cut_to_a_rank_is_one_that_began_with_it():
    layout = Layout(6, 2)

    def relaxed(rank):
        layers = plain()
        before = states(layers)
        shared = tied(layers, layout)
        initialise(shared, layout, before, "average")
        return relax(shared, layout, rank, before)

    whole = relaxed(9)
    for rank in (4, 1, 0):
        truncate(whole, rank)
        torch.testing.assert_close(run(whole, X), run(relaxed(rank), X), atol=1e-5, rtol=1e-4)


def test_layers_with_their_own_norms_leave_the_stack_as_it_was():
    layers, layout = plain(), Layout(6, 2)
    before, expected = states(layers), run(layers, X)
    shared = tied(layers, layout)
    initialise(shared, layout, before, "average")
    relaxed = relax(shared, layout, 9, before)
    tied_answer = run(relaxed, X)
    own = with_own_norms(relaxed, layout, before)
    torch.testing.assert_close(run(own, X), expected, atol=1e-5, rtol=1e-4)
    assert torch.equal(run(relaxed, X), tied_answer)
    assert own[0].up.weight is relaxed[0].up.weight
    plain_block = without(relaxed[0])
    torch.testing.assert_close(plain_block(X), shared[0](X))


def test_merged_layers_answer_as_the_looped_ones():
    layout, layers = Layout(6, 2), plain()
    before = states(layers)
    shared = tied(layers, layout)
    initialise(shared, layout, before, "average")
    own = relax(shared, layout, rank=2, states=before)
    alone = plain()
    for layer, state in zip(alone, merged(own), strict=True):
        layer.load_state_dict(state)
    torch.testing.assert_close(run(alone, X), run(own, X))


# twins keep sharing


@pytest.mark.parametrize(
    "treat", [copy.deepcopy, lambda m: m.double(), lambda m: m.to("cpu")], ids=["copied", "converted", "moved"]
)
def test_shared_tensors_stay_one_when_the_stack_is(treat):
    layout = Layout(6, 2)
    stack = treat(relax(looped(Layer, layout), layout, rank=2))
    assert stack[0].up.weight is stack[3].up.weight
    assert stack[0].up.weight.data_ptr() == stack[3].up.weight.data_ptr()
    assert stack[0].up.relaxation.A is not stack[3].up.relaxation.A


def test_what_is_done_to_a_twin_does_not_touch_the_other():
    layer = Layer()
    other = deep_twin(layer)
    other.up.register_forward_hook(lambda *_: torch.zeros(4, 9))
    other.extra = 1
    other.up.add_module("more", nn.Identity())
    assert not layer.up._forward_hooks
    assert not hasattr(layer, "extra")
    assert [name for name, _ in linear_layers(layer)] == ["up", "down"]
    assert not dict(layer.up.named_children())


def test_a_gradient_of_a_shared_tensor_is_the_sum_over_its_loops():
    layout = Layout(4, 2)
    looped_layers = looped(Layer, layout)
    alone = plain(4)
    for layer, block in zip(alone, looped_layers, strict=True):
        layer.load_state_dict(block.state_dict())
    run(looped_layers, X).square().sum().backward()
    run(alone, X).square().sum().backward()
    expected = alone[0].up.weight.grad + alone[2].up.weight.grad
    torch.testing.assert_close(looped_layers[0].up.weight.grad, expected)


# the model


def mlp() -> MLP:
    torch.manual_seed(0)
    return MLP(num_features=8, num_classes=3, hidden_sizes=(8, 8, 8, 8))


class Source:
    """A run, as far as `recursive` looks at it."""

    def __init__(self, model) -> None:
        self.learner = nn.Module()
        self.learner.model = model
        self.folder = type("Folder", (), {"label": "runs/source"})()


def test_with_the_full_rank_a_looped_model_answers_as_its_source():
    source, x = mlp(), torch.rand(5, 8)
    for layer in source.blocks:
        nn.init.zeros_(next(m for m in layer.modules() if isinstance(m, nn.Linear)).bias)
    torch.manual_seed(1)
    base = MLP(num_features=8, num_classes=3, hidden_sizes=(8, 8, 8, 8))
    model = Recursive(base, seed=0, num_loops=2, initial="average", rank=8, source=Source(source))
    torch.testing.assert_close(model(inputs=x)["logits"], source(inputs=x)["logits"], atol=1e-5, rtol=1e-5)
    assert torch.equal(run_blocks(model, {"inputs": x})["logits"], model(inputs=x)["logits"])


def test_blocks_at_random_are_not_those_of_the_source():
    source = mlp()
    torch.manual_seed(1)
    base = MLP(num_features=8, num_classes=3, hidden_sizes=(8, 8, 8, 8))
    fresh = base.blocks[1].state_dict()["0.weight"].clone()
    model = Recursive(base, seed=0, num_loops=2, initial="random", source=Source(source))
    assert torch.equal(model.blocks[1].state_dict()["0.weight"], fresh)
    assert torch.equal(model.head.weight, source.head.weight)


def test_without_a_rank_it_has_the_weights_of_its_blocks_alone():
    model = Recursive(mlp(), seed=0, num_loops=2)
    assert sum(p.numel() for p in model.blocks.parameters()) == 2 * (8 * 8 + 8)
    assert len(model.blocks) == 4


def test_a_source_with_other_weights_is_refused():
    other = MLP(num_features=8, num_classes=3, hidden_sizes=(8, 8, 8, 8, 8))
    with pytest.raises(UserError, match="source must be a run of the same model as base: blocks"):
        Recursive(mlp(), seed=0, num_loops=2, source=Source(other))


def test_a_model_whose_blocks_change_the_shape_is_refused():
    with pytest.raises(UserError, match="MLP has no blocks that keep the shape"):
        Recursive(MLP(num_features=8, num_classes=3, hidden_sizes=(4, 2)), seed=0)


def test_biases_are_shared_and_not_relaxed():
    layout = Layout(4, 2)
    own = relax(looped(lambda: nn.Linear(5, 5), layout), layout, rank=5)
    assert own[0].bias is own[2].bias


def test_a_looped_model_is_trained_from_a_recipe_begins_with_its_source_and_is_loaded(tmp_path, monkeypatch):
    import rk

    monkeypatch.chdir(tmp_path)
    text = """rk: 1
model: {model}
data: digits
loss: cross-entropy
trainer: {{name: backprop, optimizer: {{name: adam, lr: 3e-3}}}}
fit: {{max_steps: 120, validate_every: 60}}
"""
    flat = "{name: mlp, hidden_sizes: [64, 64, 64, 64]}"
    (tmp_path / "flat.yaml").write_text(text.format(model=flat))
    model = f"{{name: recursive, base: {flat}, num_loops: 2, rank: 4, source: {{recipe: flat.yaml}}}}"
    (tmp_path / "loop.yaml").write_text(text.format(model=model))
    trained = rk.train(tmp_path / "loop.yaml")
    blocks = rk.load(trained.path).learner.model.blocks
    weights = [next(m.weight for m in block.modules() if isinstance(m, nn.Linear)) for block in blocks]
    assert weights[0] is weights[2]
    assert weights[0] is not weights[1]
    assert trained.metrics["val/accuracy"] > 0.8
