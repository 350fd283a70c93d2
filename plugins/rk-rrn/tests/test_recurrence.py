"""The recurrence computes the paper's equations: a naive twin with loops over edges gives the same."""

from __future__ import annotations

import itertools

import pytest
import torch
from rk_graphs.aggregators import MaxAggregator, MeanAggregator, SumAggregator
from rk_rrn import naive
from rk_rrn.graph import Edges, fully_connected, neighbour_index
from rk_rrn.messages import Messages
from rk_rrn.recurrence import Recurrence
from rk_rrn.solver import Grid, neighbours

from rk.testing import assert_close, assert_twins

RING = [[4, 1], [0, 2], [1, 3], [2, 4], [3, 0]]
UNEVEN = [[1], [0, 2, 3], [1, 3], [2], [0, 1, 2, 3]]


def net_of(update: str = "lstm", edge_size: int = 0, layers: int = 3, **settings: object) -> Recurrence:
    torch.manual_seed(0)
    net = Recurrence(6, layers, edge_size, update, **settings).double()
    for parameter in net.parameters():  # biases too, so that each of them is compared
        parameter.data += 0.1 * torch.randn_like(parameter)
    return net


def edges_of(rows: list[list[int]]) -> Edges:
    index, exists = neighbour_index(rows)
    return Edges(index, None if exists is None else exists.unsqueeze(-1))


@pytest.mark.parametrize("update", ["lstm", "gru", "mlp"])
@pytest.mark.parametrize("rows", [RING, UNEVEN, fully_connected(5)], ids=["ring", "uneven", "full"])
def test_steps_are_those_of_loops_over_edges(update: str, rows: list[list[int]]):
    net = net_of(update)
    fast = lambda x: net(x.unsqueeze(1), edges_of(rows), 3).squeeze(2)  # noqa: E731
    plain = lambda x: naive.recurrence(net, x, rows, 3)  # noqa: E731
    weights = list(net.parameters())
    assert_twins(fast, plain, torch.randn(5, 6, dtype=torch.float64), parameters=weights, relative=1e-5)


def test_features_of_edges_are_read_by_the_messages():
    net = net_of(edge_size=2)
    features = torch.randn(5, 2, 1, 2, dtype=torch.float64)
    named = {(i, j): features[j, k, 0] for j, row in enumerate(RING) for k, i in enumerate(row)}
    fast = lambda x: net(x.unsqueeze(1), edges_of(RING), 2, features).squeeze(2)  # noqa: E731
    assert_twins(fast, lambda x: naive.recurrence(net, x, RING, 2, named), torch.randn(5, 6, dtype=torch.float64))


def test_a_forgotten_bias_per_edge_is_noticed(plant):
    plant(Messages, "forward", "edges.degrees(len(hidden)) * ", "")
    with pytest.raises(AssertionError):
        test_steps_are_those_of_loops_over_edges("lstm", RING)


def test_a_memory_that_starts_as_x_is_noticed(plant):
    from rk_rrn.update import Update

    plant(Update, "begin", "(zeros, zeros)", "(x.flatten(0, 1), zeros)")
    with pytest.raises(AssertionError):
        test_steps_are_those_of_loops_over_edges("lstm", RING)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize(("row", "size"), [(0, 5), (1, 3)])
def test_where_all_send_to_all_nodes_without_a_place_in_the_mask_change_nothing(layers: int, row: int, size: int):
    net = net_of(edge_size=2, layers=layers)
    x, question = (torch.randn(*shape, dtype=torch.float64) for shape in ((5, 2, 6), (2, 2)))
    mask = torch.tensor([[True] * 5, [True, True, True, False, False]])
    one_for_all_edges = dict.fromkeys(itertools.product(range(size), repeat=2), question[row])

    def fast(x: torch.Tensor) -> torch.Tensor:
        return net(x, Edges(None, mask.T.unsqueeze(0)), 3, question.expand(1, 1, 2, 2))[:, :size, row]

    def plain(x: torch.Tensor) -> torch.Tensor:
        everybody = [list(range(size))] * size  # itself included
        return naive.recurrence(net, x[:size, row], everybody, 3, one_for_all_edges)

    assert_twins(fast, plain, x, parameters=list(net.parameters()), relative=1e-5)


@pytest.mark.parametrize("rows", [RING, UNEVEN], ids=["ring", "uneven"])
def test_the_sum_as_an_aggregator_is_the_sum_without_one(rows: list[list[int]]):
    plain, slot = net_of(), net_of(aggregator=SumAggregator)
    slot.load_state_dict(plain.state_dict())
    x = torch.randn(5, 3, 6, dtype=torch.float64)
    assert_close(slot(x, edges_of(rows), 3), plain(x, edges_of(rows), 3))


@pytest.mark.parametrize(("aggregator", "reduce"), [(MaxAggregator, "amax"), (MeanAggregator, "mean")])
def test_another_aggregator_takes_whole_messages(aggregator: type, reduce: str):
    net = net_of(aggregator=aggregator)
    x = torch.randn(5, 2, 6, dtype=torch.float64)
    messages = naive.mlp(net.messages.f, x[torch.tensor(RING)], x.unsqueeze(1).expand(5, 2, 2, 6))
    assert_close(net.messages(x, edges_of(RING)), getattr(messages, reduce)(1))


def test_one_concatenation_and_a_scatter_give_the_same_messages():
    net, rows = net_of(), neighbours(Grid(2, 2))
    x = torch.randn(16, 3, 6, dtype=torch.float64)
    assert_close(net.messages(x, edges_of(rows)), naive.concatenated_step(net, x, rows))


def test_checkpointed_steps_have_the_same_gradients():
    x = torch.randn(5, 2, 6, dtype=torch.float64)
    found = []
    for again in (False, True):
        net = net_of(checkpoint_steps=again)
        net(x, edges_of(RING), 4).square().sum().backward()
        found.append([parameter.grad for parameter in net.parameters()])
    assert_close(found[1], found[0])


def test_the_forget_gate_starts_at_one_and_other_biases_at_zero():
    cell = Recurrence(4, 1).update.cell
    assert cell.bias_ih.tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 8
    assert not cell.bias_hh.any()


@pytest.mark.parametrize(("rows", "message"), [([[1], [2]], "from 0 to 1, got 2"), ([[], []], "at least one")])
def test_wrong_neighbours_are_refused(rows: list[list[int]], message: str):
    with pytest.raises(ValueError, match=message):
        neighbour_index(rows)
