"""The layer `graph-rnn`: wiring, its naive twin, streaming, masks, and what a run keeps."""

from __future__ import annotations

import pytest
import torch
from rk_sparse_rnn import naive, wiring
from rk_sparse_rnn.layer import GATES, GraphRNN
from rk_sparse_rnn.wiring import directed, draw, layers
from rk_sparsity.weights import prunable

from rk import UserError
from rk.api import load, train
from rk.testing import assert_twins

KINDS = ("watts-strogatz", "barabasi-albert")


def make(cell="gru", graph="watts-strogatz", **changes):
    torch.manual_seed(0)
    return GraphRNN(d_model=5, cell=cell, graph=graph, **{"seed": 3, "nodes": 14, **changes}).double()


def test_layers_are_those_of_the_worked_example():
    assert layers(5, [(0, 2), (1, 2), (1, 3), (2, 3), (2, 4), (3, 4)]) == [0, 0, 1, 2, 3]


def test_a_layer_is_one_more_than_the_highest_of_the_predecessors():
    edges = draw("watts-strogatz", 40, None, 1.0, None, 5)

    def level(v):
        return max((1 + level(u) for u, w in edges if w == v), default=0)

    assert layers(40, edges)[:14] == [level(v) for v in range(14)]


def test_edges_lead_from_the_smaller_number_to_the_larger_and_are_there_once():
    assert directed([(3, 1), (1, 3), (2, 2), (0, 3)]) == [(0, 3), (1, 3)]


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("graph", KINDS)
def test_a_wired_network_is_its_cells_one_by_one(cell, graph):
    layer, x = make(cell, graph, attach=2), torch.randn(3, 6, 5, dtype=torch.double)
    assert max(level.cells for level in layer.plan.levels) > 1  # there are skip cells
    assert_twins(layer, lambda x: naive.unroll(layer, x, naive.cells(layer)), x, parameters=layer.parameters())


def test_every_edge_has_a_gradient_and_there_are_no_other_weights_between_layers():
    layer = make("lstm")
    layer(torch.randn(3, 6, 5, dtype=torch.double)).square().sum().backward()
    assert layer.weight_ih.shape == (4, layer.edges.shape[1])
    assert layer.weight_ih.grad.abs().min() > 0
    squares = sum(level.cells * level.width**2 for level in layer.plan.levels)
    assert layer.weight_hh.shape == (4, squares)


@pytest.mark.parametrize("cell", GATES)
def test_a_sequence_may_come_in_pieces_and_padding_changes_nothing(cell):
    layer, x = make(cell), torch.randn(2, 6, 5, dtype=torch.double)
    first, state = layer.scan(x[:, :1], layer.initial_state(2))
    rest, _ = layer.scan(x[:, 1:], state)
    torch.testing.assert_close(torch.cat([first, rest], 1), layer(x))
    mask = torch.tensor([[True, False, True, True, False, False], [True] * 6])
    given, after = layer.scan(x, layer.initial_state(2), mask)
    short = x[:1, mask[0]]
    expected, expected_after = layer.scan(short, layer.initial_state(1))
    torch.testing.assert_close(given[0, mask[0]], expected[0])
    assert not given[0, ~mask[0]].any()
    for one, other in zip(after, expected_after, strict=True):
        for a, b in zip(*((s if cell == "lstm" else (s,)) for s in (one, other)), strict=True):
            torch.testing.assert_close(a[:1], b)


def test_a_stored_wiring_is_loaded_whatever_networkx_draws(tmp_path, monkeypatch):
    recipe = tmp_path / "wired.yaml"
    recipe.write_text(
        "rk: 1\nmodel: {name: sequence, layer: {name: graph-rnn, nodes: 12}, d_model: 6}\n"
        "data: {name: adding, length: 5, batch_size: 4, val_examples: 4, test_examples: 4}\nloss: mse\n"
        "trainer: {name: backprop, optimizer: {name: adam, lr: 1e-2}}\nfit: {max_steps: 2, seed: 1, threads: 1}\n"
    )
    run = train(recipe, runs_dir=tmp_path / "runs")
    before = next(m for m in run.learner.modules() if isinstance(m, GraphRNN))
    monkeypatch.setattr("rk_sparse_rnn.layer.draw", lambda *_: [(0, 1), (1, 2), (2, 3)])
    layer = next(
        m for m in load(next((tmp_path / "runs" / "wired").iterdir())).learner.modules() if isinstance(m, GraphRNN)
    )
    assert torch.equal(layer.edges, before.edges)
    x = torch.randn(2, 4, 6)
    assert torch.equal(layer(x), before(x))


def test_an_optimizer_keeps_the_weights_that_are_loaded_and_weights_of_two_graphs_are_refused():
    layer, other = make(seed=3), make(seed=4)
    given = [*layer.parameters()]
    layer.load_state_dict(other.state_dict())
    assert all(a is b for a, b in zip(given, layer.parameters(), strict=True))
    x = torch.randn(2, 4, 5, dtype=torch.double)
    assert torch.equal(layer(x), other(x))
    mixed = make(seed=3).state_dict() | {"edges": other.edges}
    with pytest.raises(UserError, match="not those of its edges"):
        make(seed=3).load_state_dict(mixed)


def test_masks_of_recurrent_weights_see_those_of_a_wired_network():
    layer = make()
    assert {*prunable(layer, target="hidden-to-hidden")} == {"weight_hh"}
    assert {*prunable(layer, target="input-to-hidden")} == {"weight_ih", "weight_ih_input"}


def test_edges_of_your_own_are_the_wiring():
    layer = GraphRNN(d_model=4, seed=0, edges=[(0, 2), (1, 2), (1, 3), (2, 3), (2, 4), (3, 4)])
    assert [level.width for level in layer.plan.levels] == [2, 1, 1, 1]
    assert layer(torch.randn(1, 3, 4)).shape == (1, 3, 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nodes": 5}, "neighbours must be 2 to 4, got 1"),
        ({"graph": "barabasi-albert", "attach": 14}, "attach must be < 14"),
        ({"edges": []}, "at least one edge"),
        ({"edges": [(-1, 2)]}, "nodes >= 0"),
        ({"nodes": 200, "neighbours": 2, "rewire": 1.0}, "no connected graph"),
    ],
)
def test_a_graph_that_cannot_be_is_one_message(changes, message, monkeypatch):
    monkeypatch.setattr(wiring, "_TRIES", 1)
    with pytest.raises(ValueError, match=message):
        make(**changes)
