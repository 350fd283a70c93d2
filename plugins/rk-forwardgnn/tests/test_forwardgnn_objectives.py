"""Every objective is its equation, node by node; and a mistake in any of them is noticed."""

from __future__ import annotations

import pytest
import torch
from forwardgnn_small import CLASSES, FEATURES, LAYERS, NODES, graph, learner, links, stack
from rk_forwardgnn import naive, views
from rk_forwardgnn.losses import GoodnessBCE, PrototypeCrossEntropy
from rk_forwardgnn.methods import ForwardForward, LinkForward, SingleForward, wrong_classes
from rk_forwardgnn.topdown import TopDownLearner
from rk_graphs.layers import GCN

from rk.fields import IGNORED
from rk.testing import assert_close, assert_twins


def hidden(rows: int = 5, width: int = 4) -> torch.Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def assert_same_loss(learner, batch, layer: int, twin) -> None:
    """Compares the objective of a layer, and its gradient by the weights of that layer."""
    weights = list(learner.model.blocks[layer].parameters())
    total, count = learner(batch, layer)
    assert count == int((batch["targets"] != IGNORED).sum()) or "link_index" in batch
    expected = twin()
    assert_close(total, expected)
    for found, wanted in zip(torch.autograd.grad(total, weights), torch.autograd.grad(expected, weights), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-7, atol=1e-10)  # of some weights of GAT, it is zero


# -- the two losses ----------------------------------------------------------------------------------------------------


def test_the_goodness_loss_is_its_equation():
    positive = torch.tensor([True, False, True, False, False])
    loss = GoodnessBCE(threshold=1.5)
    assert_twins(
        lambda h: loss(hidden=h, positive=positive)[0],
        lambda h: naive.goodness_loss(h, positive.tolist(), 1.5),
        hidden(),
    )


def test_the_prototype_loss_is_its_equation():
    targets = torch.tensor([0, 2, 1, 1, 0])
    loss = PrototypeCrossEntropy(temperature=0.7)
    assert_twins(
        lambda h, p: loss(hidden=h, prototypes=p, targets=targets)[0],
        lambda h, p: naive.prototype_loss(h, p, targets, 0.7),
        hidden(),
        hidden(3),
    )


# -- the methods, layer by layer ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("conv", LAYERS)
def test_single_forward_is_its_equation(conv, layer):
    batch, mine = graph(), learner("single-forward", stack(conv), temperature=0.8)
    given = (batch["x"], batch["edge_index"], mine.known, mine.prototypes)
    assert_same_loss(mine, batch, layer, lambda: naive.single_forward(mine.model.blocks, layer, *given, 0.8))


@pytest.mark.parametrize("layer", [0, 2])
@pytest.mark.parametrize("reads", ["label", "features"])
def test_label_appending_is_its_equation(reads, layer):
    batch, mine = graph(), learner("ff-label", stack(reads=reads), threshold=1.2)
    labels = mine.method.labels(batch, mine.known)
    given = (batch["x"], batch["edge_index"], labels, CLASSES, 1.2, reads == "label")
    assert_same_loss(mine, batch, layer, lambda: naive.label_appending(mine.model.blocks, layer, *given))


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("conv", ["gcn", "sage", "gat"])
def test_virtual_nodes_are_their_equation(conv, layer):
    batch, mine = graph(), learner("ff-virtual", stack(conv), threshold=1.2)
    labels = mine.method.labels(batch, mine.known)
    given = (batch["x"], batch["edge_index"], labels, mine.prototypes, 1.2)
    assert_same_loss(mine, batch, layer, lambda: naive.virtual_nodes(mine.model.blocks, layer, *given))


@pytest.mark.parametrize("layer", [0, 1])
def test_links_are_their_equation(layer):
    batch, mine = links(), learner("fl-link", look=links())

    def twin():
        given = naive.states(mine.model.blocks[: layer + 1], batch["x"], batch["edge_index"])[-1]
        return naive.link_forward(given, batch["link_index"], batch["targets"])

    assert_same_loss(mine, batch, layer, twin)


def test_links_by_forward_forward_have_the_goodness_of_the_product():
    batch, mine = links(), learner("ff-link", look=links(), threshold=1.2)

    def twin():
        given = naive.states(mine.model.blocks[:1], batch["x"], batch["edge_index"])[-1]
        products = given[batch["link_index"][0]] * given[batch["link_index"][1]]
        return naive.goodness_loss(products, batch["targets"].bool().tolist(), 1.2)

    assert_same_loss(mine, batch, 0, twin)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_top_down_input_is_its_equation(layer):
    batch, mine = graph(), learner("sf-top-input", temperature=0.8)
    before = mine.bottom_up(batch)
    x = torch.cat([batch["x"], mine.prototypes])
    labels = torch.full((len(x), CLASSES), 1 / CLASSES, dtype=x.dtype)
    for node in range(NODES):
        if mine.known[node] != IGNORED:
            labels[node] = torch.eye(CLASSES, dtype=x.dtype)[mine.known[node]]
    below, above = [x, *before][layer], [*before, labels][layer + 1]
    edges = naive.with_virtual_edges(batch["edge_index"], mine.known)
    total, _ = mine(batch, layer, before)
    assert_close(total, naive.top_input(mine.model.blocks[layer], below, above, edges, mine.known, CLASSES, 0.8))


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_top_down_loss_is_its_equation(layer):
    batch, mine = graph(), learner("sf-top-loss", temperature=0.8)
    before = mine.bottom_up(batch)
    below = [torch.cat([batch["x"], mine.prototypes]), *before][layer]
    edges = naive.with_virtual_edges(batch["edge_index"], mine.known)
    total, _ = mine(batch, layer, before)
    block, above = mine.model.blocks[layer], before[layer + 1 :]
    assert_close(total, naive.top_loss(block, below, above, edges, mine.known, CLASSES, 0.8))


def test_gcn_is_the_mean_over_neighbours_of_the_augmented_graph():
    batch, mine = graph(), learner("single-forward")
    conv = mine.model.blocks[0].layer.conv
    x = naive.row_normalised(torch.cat([batch["x"], mine.prototypes]))
    edges = naive.with_virtual_edges(batch["edge_index"], mine.known)
    expected = naive.gcn(x, edges, conv.lin.weight, conv.bias).relu()
    assert_close(mine.stage(batch, 0, "training").settled(), expected)


# -- answers -----------------------------------------------------------------------------------------------------------


def test_single_forward_answers_by_the_sum_of_probabilities_over_the_layers():
    batch, mine = graph(), learner("single-forward", temperature=0.8)
    mine.depth = 3
    given = (batch["x"], batch["edge_index"], mine.known, mine.prototypes, 0.8)
    with torch.no_grad():
        answer = mine.predict(batch)
        assert_close(answer["logits"].softmax(-1), naive.single_forward_answer(mine.model.blocks, *given) / 3)
        two = naive.single_forward_answer(mine.model.blocks[:2], *given) / 2
        assert_close(answer["depth_logits"][:, 1].softmax(-1), two)


@pytest.mark.parametrize("method", ["ff-label", "ff-virtual"])
def test_forward_forward_supposes_each_class_of_the_nodes_without_a_label(method):
    """A pass for each class: training nodes keep their labels, all others have the class that is supposed."""
    batch, mine = graph(), learner(method, threshold=1.2)
    mine.depth = 2
    scores = torch.zeros(NODES, CLASSES, dtype=torch.float64)
    for c in range(CLASSES):
        labels = torch.where(mine.known == IGNORED, c, mine.known)
        x, edges = batch["x"], batch["edge_index"]
        if method == "ff-virtual":
            x, edges = torch.cat([x, mine.prototypes]), naive.with_virtual_edges(edges, labels)
        else:
            x = torch.cat([torch.eye(CLASSES, dtype=x.dtype)[labels], x[:, CLASSES:]], 1)
        for given in naive.states(mine.model.blocks[:2], x, edges):
            scores[:, c] += given[:NODES].square().mean(1) - 1.2
    with torch.no_grad():
        assert_close(mine.predict(batch)["logits"], scores.detach())


def test_top_down_answers_sum_the_time_steps_after_the_first_two():
    batch, mine = graph(), learner("sf-top-input")
    mine.time_steps = 4
    with torch.no_grad():
        before, total = mine.bottom_up(batch), torch.zeros(NODES, CLASSES, dtype=torch.float64)
        for t in range(4):
            for turn in ([0, 2], [1]):  # even layers, then odd ones
                fresh = {layer: mine.given(batch, layer, before) for layer in turn}
                before = [fresh.get(i, state) for i, state in enumerate(before)]
            if t >= 2:
                total += sum((s[:NODES] @ s[NODES:].T).softmax(-1) for s in before)
        assert_close(mine.predict(batch)["logits"].softmax(-1), total / 6)


def test_answers_for_links_sum_the_sigmoids():
    batch, mine = links(), learner("fl-link", look=links())
    mine.depth = 2
    with torch.no_grad():
        given = naive.states(mine.model.blocks[:2], batch["x"], batch["edge_index"])
        source, target = batch["link_index"]
        expected = sum((h[source] * h[target]).sum(1).sigmoid() for h in given) / 2
        assert_close(mine.predict(batch)["logits"].softmax(-1)[:, 1], expected)


# -- labels ------------------------------------------------------------------------------------------------------------


def test_all_wrong_classes_are_shown_once_and_the_true_one_never():
    targets = torch.tensor([0, 1, 2, 3, 3, IGNORED])
    found = wrong_classes(targets, 4, 3, torch.Generator().manual_seed(0))
    for node, true in enumerate(targets[:5].tolist()):
        assert sorted(found[:, node].tolist()) == [c for c in range(4) if c != true]
    assert found[:, 5].tolist() == [IGNORED] * 3


def test_fewer_negatives_are_a_part_of_the_wrong_classes():
    found = wrong_classes(torch.zeros(50, dtype=torch.int64), 5, 2, torch.Generator().manual_seed(0))
    assert found.shape == (2, 50) and (found[0] != found[1]).all() and set(found.flatten().tolist()) == {1, 2, 3, 4}


def test_labels_among_images_take_the_place_of_the_first_pixels():
    x, labels = torch.rand(2, 6), torch.tensor([[1, IGNORED]])
    found = views.labelled(x, labels, 3, appended=False)
    assert_close(found, torch.cat([torch.tensor([[0.0, 1, 0], [1 / 3, 1 / 3, 1 / 3]]), x[:, 3:]], 1))


# -- mistakes are noticed ----------------------------------------------------------------------------------------------

SINGLE = (test_single_forward_is_its_equation, ("gcn", 1))
APPENDED = (test_label_appending_is_its_equation, ("label", 0))
VIRTUAL = (test_virtual_nodes_are_their_equation, ("gcn", 0))
MISTAKES = [
    (SingleForward, "share", "given[views.items :]", "given[: views.prototypes]", *SINGLE),
    (ForwardForward, "share", " / (views.count - 1)", "", *APPENDED),
    (ForwardForward, "share", "torch.ones_like", "torch.zeros_like", *VIRTUAL),
    (
        LinkForward,
        "logit",
        'batch["link_index"]',
        'batch["link_index"].roll(1, 1)',
        test_links_are_their_equation,
        (0,),
    ),
    (LinkForward, "logit", "target)", "source)", test_links_are_their_equation, (0,)),
    (TopDownLearner, "judged", "[given, *above]", "[given, *above[:1]]", test_top_down_loss_is_its_equation, (0,)),
    (TopDownLearner, "given", "states[layer + 1]", "states[layer]", test_top_down_input_is_its_equation, (0,)),
]


@pytest.mark.parametrize(("owner", "name", "text", "wrong", "check", "given"), MISTAKES)
def test_a_mistake_is_noticed(plant, owner, name, text, wrong, check, given):
    plant(owner, name, text, wrong)
    with pytest.raises((AssertionError, RuntimeError)):
        check(*given)


def test_gcn_layers_have_the_features_of_the_graph():
    assert isinstance(stack().blocks[0].layer, GCN) and stack().blocks[0].layer.conv.in_channels == FEATURES
