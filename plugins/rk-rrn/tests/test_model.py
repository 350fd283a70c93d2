"""The model `rrn` and its loss."""

from __future__ import annotations

import pytest
import torch
from rk_rrn.loss import PerStepCrossEntropy, step_weights
from rk_rrn.model import RRN
from rk_rrn.solver import Grid, neighbours
from torch.nn import functional

from rk import UserError
from rk.testing import assert_close

SUDOKU = {"neighbours": neighbours(Grid(3, 3)), "node_features": 0, "attribute_sizes": (10, 9, 9), "level": "node"}
DENSE = {"neighbours": None, "node_features": 3, "attribute_sizes": (), "level": "graph", "num_classes": 4}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_the_paper_s_sudoku_network_has_its_number_of_weights():
    net = RRN(num_classes=10, **SUDOKU)
    second = net.recurrence.update.cell.bias_hh.numel()  # torch's cell has two biases, which are added
    assert sum(parameter.numel() for parameter in net.parameters()) - second == 201_098


def test_training_makes_num_steps_and_an_answer_test_steps():
    net = RRN(hidden_size=4, num_steps=3, test_steps=7, **DENSE)
    x = torch.rand(2, 5, 3)
    assert net.train()(inputs=x)["step_logits"].shape == (2, 3, 4)
    outputs = net.eval()(inputs=x)
    assert outputs["step_logits"].shape == (2, 7, 4)
    assert torch.equal(outputs["logits"], outputs["step_logits"][:, -1])


def test_more_steps_begin_with_the_same_answers():
    net = RRN(hidden_size=4, num_steps=3, **DENSE).eval()
    x = torch.rand(2, 5, 3)
    few = net(inputs=x)["step_logits"]
    net.test_steps = 6
    assert_close(net(inputs=x)["step_logits"][:, :3], few)


def test_a_graph_is_answered_from_the_nodes_it_has():
    net = RRN(hidden_size=4, num_steps=3, **DENSE).eval()
    x = torch.rand(1, 5, 3)
    alone = net(inputs=x[:, :3])["logits"]
    masked = net(inputs=x, node_mask=torch.tensor([[True, True, True, False, False]]))["logits"]
    assert_close(masked, alone)


def test_a_distance_is_given_by_gaussian_functions_of_it():
    net = RRN(hidden_size=4, num_steps=1, coordinates=2, distance_basis=4, distance_limit=1.5, **DENSE).eval()
    seen = []
    net.recurrence.messages.register_forward_pre_hook(lambda _, given: seen.append(given[2]))
    x = torch.zeros(1, 2, 3)
    x[0, 1, :2] = torch.tensor([0.3, 0.4])  # half a unit from the other node
    net(inputs=x)
    for ends, distance in (((0, 0), 0.0), ((0, 1), 0.5), ((1, 0), 0.5)):
        wanted = torch.exp(-((distance - torch.tensor([0.0, 0.5, 1.0, 1.5])) ** 2) / 0.25)
        assert_close(seen[0][ends][0], net.recurrence.messages.edge_share(wanted))


def test_the_order_of_nodes_does_not_matter():
    net = RRN(hidden_size=4, num_steps=3, coordinates=2, **DENSE).eval()
    x = torch.rand(2, 5, 3)
    assert_close(net(inputs=x[:, torch.tensor([3, 1, 4, 0, 2])])["logits"], net(inputs=x)["logits"])


def test_distances_are_features_of_edges():
    net = RRN(hidden_size=4, num_steps=1, coordinates=2, **{**DENSE, "neighbours": [[1], [0]]})
    x = torch.tensor([[[0.0, 0.0, 1.0], [3.0, 4.0, 1.0]]])
    assert net._edge_features(net._edges(None), x, None).flatten().tolist() == [5.0, 5.0]


def test_given_features_of_edges_change_the_answer():
    net = RRN(hidden_size=16, num_steps=2, num_edge_features=2, **{**DENSE, "neighbours": [[1], [0]]}).eval()
    x = torch.rand(1, 2, 3)
    zeros, ones = (net(inputs=x, edge_features=torch.full((1, 2, 1, 2), v))["logits"] for v in (0.0, 1.0))
    assert not torch.allclose(zeros, ones)
    with pytest.raises(UserError, match="expects edge_features of 2 numbers"):
        net(inputs=x)


def test_a_mask_beside_neighbours_is_refused():
    net = RRN(hidden_size=4, num_steps=1, **{**DENSE, "neighbours": [[1], [0]]})
    with pytest.raises(UserError, match="neighbours: null"):
        net(inputs=torch.rand(1, 2, 3), node_mask=torch.ones(1, 2, dtype=torch.bool))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"node_features": 0}, "a node needs"),
        ({"coordinates": 4}, "at most node_features, 3, got 4"),
        ({"distance_basis": 8}, "with coordinates, got 8"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change: dict[str, int], message: str):
    with pytest.raises(ValueError, match=message):
        RRN(**{**DENSE, **change})


def test_only_weights_of_mlps_decay():
    net = RRN(num_classes=10, **SUDOKU)
    decaying = {name for name, p in net.named_parameters() if not getattr(p, "no_weight_decay", False)}
    assert decaying == {
        name for name, _ in net.named_parameters()
        if name.endswith("weight") and "embeddings" not in name
    }  # fmt: skip


# -- the loss --------------------------------------------------------------------------------------------------------


def test_the_loss_is_the_mean_over_steps_of_the_mean_over_targets():
    logits, targets = torch.randn(4, 3, 5, 7), torch.randint(7, (4, 5))
    total, count = PerStepCrossEntropy()(step_logits=logits, targets=targets)
    expected = sum(functional.cross_entropy(logits[:, t].flatten(0, 1), targets.flatten()) for t in range(3)) / 3
    assert count == 20
    assert_close(total / count, expected)


def test_last_scores_the_last_step_alone():
    logits, targets = torch.randn(4, 3, 7, requires_grad=True), torch.randint(7, (4,))
    total, count = PerStepCrossEntropy("last")(step_logits=logits, targets=targets)
    assert_close(total / count, functional.cross_entropy(logits[:, -1], targets))
    total.backward()
    assert not logits.grad[:, :2].any()


def test_linear_gives_later_steps_more_weight():
    assert_close(step_weights("linear", 4), torch.tensor([0.1, 0.2, 0.3, 0.4]))


@pytest.mark.parametrize("weights", ["uniform", "last", "linear"])
def test_ignored_targets_count_for_nothing(weights: str):
    logits, targets = torch.randn(4, 3, 5, 7), torch.randint(7, (4, 5))
    targets[:, 3:] = -100
    total, count = PerStepCrossEntropy(weights, ignore_index=-100)(step_logits=logits, targets=targets)
    expected, fewer = PerStepCrossEntropy(weights)(step_logits=logits[:, :, :3], targets=targets[:, :3])
    assert count == fewer == 12
    assert_close(total, expected)
