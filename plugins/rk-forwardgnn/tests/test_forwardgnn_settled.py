"""What a layer gathers once is what it would gather in every step; and it is gathered again when anything changes."""

from __future__ import annotations

import copy

import pytest
import torch
from forwardgnn_small import CLASSES, FEATURES, LAYERS, graph, learner, loud, stack
from rk_forwardgnn.mixed import Mixed, Sparse, normalise
from rk_forwardgnn.settled import Settled, Term
from rk_graphs.layers import GIN
from rk_graphs.model import GNN

from rk.testing import assert_close, assert_twins


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("method", ["single-forward", "ff-label", "ff-virtual"])
@pytest.mark.parametrize("conv", LAYERS)
def test_the_kept_layer_is_the_layer(conv, method, layer):
    """Objective, gradient and answer are those of a learner that keeps nothing."""
    batch, mine = graph(), learner(method, stack(conv))
    mine.depth = layer + 1
    other = copy.deepcopy(mine)
    other.cached = False
    for learns in (mine, other):
        learns(batch, layer)[0].backward()
    for found, wanted in zip(mine.parameters(), other.parameters(), strict=True):
        assert (found.grad is None) == (wanted.grad is None)
        if found.grad is not None:
            torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-7, atol=1e-10)
    with torch.no_grad():
        assert_close(mine.predict(batch)["logits"], other.predict(batch)["logits"])
    kept = mine.stage(batch, layer, "training").settled.kept
    assert (kept is None) == (conv == "gat")  # attention weighs by what is learned


@pytest.mark.parametrize("settings", [{"norm": "layer"}, {"norm": "batch"}, {"project": True, "residual": True}, {}])
def test_layers_of_rk_graphs_are_kept_within_their_blocks(settings):
    torch.manual_seed(0)
    given = {"num_features": FEATURES, "num_outputs": CLASSES, "level": "node", "d_model": 6}
    model = loud(GNN(layer=LAYERS["gcn"], **given, **settings))
    batch, mine = graph(), learner("single-forward", model)
    other = copy.deepcopy(mine)
    other.cached = False
    for layer in range(2):
        assert_close(mine(batch, layer)[0], other(batch, layer)[0])


def test_graph_isomorphism_layers_keep_their_batch_norm():
    batch, mine = graph(), learner("single-forward", stack("gin"))
    mine.model.blocks[0].layer = loud(GIN(in_channels=FEATURES, out_channels=6))
    other = copy.deepcopy(mine)
    other.cached = False
    assert_close(mine(batch, 0)[0], other(batch, 0)[0])


def test_nothing_is_gathered_twice_while_a_layer_learns(monkeypatch):
    batch, mine = graph(), learner("single-forward")
    mine(batch, 1)
    monkeypatch.setattr("rk_forwardgnn.settled.gcn_norm", lambda *_: pytest.fail("gathered again"))
    for _ in range(3):
        total, _ = mine(batch, 1)
        total.backward()
        with torch.no_grad():
            for p in mine.model.blocks[1].parameters():
                p.sub_(0.01 * p.grad)
    mine(copy.deepcopy(batch), 1)  # an equal graph is the same graph


@pytest.mark.parametrize("change", ["x", "edge_index", "targets", "weights", "known"])
def test_whatever_changes_is_gathered_again(change):
    batch = graph()
    mine = learner("ff-virtual")
    mine(batch, 1)
    if change == "weights":
        with torch.no_grad():
            next(mine.model.blocks[0].parameters()).mul_(2)
    elif change == "known":
        mine.known[0] = 2
        batch["targets"][0] = 2
    elif change == "edge_index":
        batch = batch | {"edge_index": batch["edge_index"][:, 2:]}
    elif change == "targets":
        batch = graph(asked=slice(0, 6))
    else:
        batch["x"][0] += 1  # in place
    other = copy.deepcopy(mine)
    other.cached = False
    assert_close(mine(batch, 1)[0], other(batch, 1)[0])


def test_a_copy_keeps_nothing_of_the_original():
    batch, mine = graph(), learner("single-forward")
    mine(batch, 0)
    other = copy.deepcopy(mine)
    with torch.no_grad():
        next(other.model.blocks[0].parameters()).mul_(2)
    assert not torch.equal(other(batch, 0)[0], mine(batch, 0)[0])


# -- rows that mix -----------------------------------------------------------------------------------------------------


def matrix(seed: int = 0, rows: int = 9, columns: int = 4) -> Sparse:
    random = torch.Generator().manual_seed(seed)
    places = torch.randint(rows, (20,), generator=random), torch.randint(columns, (20,), generator=random)
    return Sparse(*places, torch.rand(20, generator=random, dtype=torch.float64), (rows, columns))


def dense(sparse: Sparse) -> torch.Tensor:
    found = torch.zeros(sparse.shape, dtype=torch.float64)
    return found.index_put((sparse.rows, sparse.columns), sparse.values, accumulate=True)


def test_sparse_products_and_their_gradients_are_those_of_dense_matrices():
    mine = matrix()
    assert_twins(lambda x: mine @ x, lambda x: dense(mine) @ x, torch.randn(4, 3, dtype=torch.float64))
    assert_close(dense(mine.after(matrix(1, 4, 5))), dense(mine) @ dense(matrix(1, 4, 5)))


@pytest.mark.parametrize("width", [2, 200])
def test_both_orders_of_the_product_are_the_same(width):
    """Few features are gathered first; many are mapped first, where rows repeat."""
    table = torch.rand(4, width, dtype=torch.float64)
    mixing = Sparse(torch.arange(40), torch.arange(40) % 4, torch.ones(40, dtype=torch.float64), (40, 4))
    gathers = Sparse(torch.arange(40), torch.arange(39, -1, -1), torch.ones(40, dtype=torch.float64), (40, 40))
    term = Term(gathers, Mixed(table, mixing), 3)
    assert (term.matrix is None) == (width == 2)
    weight = torch.rand(3, width, dtype=torch.float64)
    assert_twins(term.mapped, lambda w: dense(gathers) @ dense(mixing) @ table @ w.T, weight)


def test_mixed_rows_are_normalised_as_rows_are():
    batch, mine = graph(), learner("ff-label", stack(reads="label"))
    views = mine.method.training(mine.model, batch, mine.known, mine.prototypes)
    assert views.hidden.mixing is not None
    assert_close(views.hidden.normalised().dense(), normalise(views.hidden.dense()))


def test_a_block_of_another_kind_is_called_as_it_is():
    block = torch.nn.Linear(3, 2).double()
    x = torch.rand(4, 3, dtype=torch.float64)
    assert_close(Settled(block, Mixed(x), ())(), block(x))


def test_what_is_gathered_once_is_gathered_in_full_precision():
    mine = Sparse(torch.arange(3), torch.arange(3), torch.full((3,), 1 / 3), (3, 3))
    x = torch.rand(3, 2, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(mine @ x, mine.values[0] * x)
        assert torch.equal(mine.after(mine).values, mine.values**2)
