"""Aggregators: the sparse form, the dense form and a loop over groups give the same."""

import pytest
import torch
from rk_graphs.aggregators import (
    AttentionAggregator,
    GRUAggregator,
    MaxAggregator,
    MeanAggregator,
    PNAAggregator,
    SumAggregator,
    aggregate_dense,
    side_by_side,
)

ALL = (AttentionAggregator, GRUAggregator, MaxAggregator, MeanAggregator, PNAAggregator, SumAggregator)


@pytest.fixture
def items():
    torch.manual_seed(0)
    return torch.randn(12, 4), torch.tensor([2, 0, 0, 4, 2, 2, 0, 4, 4, 4, 1, 2])


@pytest.mark.parametrize("aggregator", ALL)
def test_each_group_is_aggregated_as_if_it_were_alone(aggregator, items):
    x, index = items
    module = aggregator(d_model=4).eval()
    found = module(x, index, 5)
    assert found.shape == (5, 4)
    for group in (0, 1, 2, 4):
        alone = x[index == group]
        torch.testing.assert_close(found[group], module(alone, torch.zeros(len(alone), dtype=torch.int64), 1)[0])


@pytest.mark.parametrize("aggregator", ALL)
def test_groups_side_by_side_give_what_the_flat_ones_give(aggregator, items):
    x, index = items
    module = aggregator(d_model=4).eval()
    padded, mask = side_by_side(x, index, 5)
    torch.testing.assert_close(aggregate_dense(module, padded, mask), module(x, index, 5))


@pytest.mark.parametrize("aggregator", [a for a in ALL if a is not GRUAggregator])
def test_the_order_of_items_does_not_matter(aggregator, items):
    x, index = items
    module = aggregator(d_model=4).eval()
    order = torch.randperm(len(x))
    torch.testing.assert_close(module(x[order], index[order], 5), module(x, index, 5))


def test_the_plain_ones_are_what_their_names_say(items):
    x, index = items
    group = x[index == 2]
    for aggregator, expected in (
        (SumAggregator, group.sum(0)),
        (MeanAggregator, group.mean(0)),
        (MaxAggregator, group.amax(0)),
    ):
        found = aggregator(d_model=4)(x, index, 5)
        torch.testing.assert_close(found[2], expected)
        assert found[3].tolist() == [0, 0, 0, 0]  # a group without items


def test_the_gru_reads_items_one_after_the_other(items):
    x, index = items
    module = GRUAggregator(d_model=4).eval()
    state = torch.zeros(1, 1, 4)
    for row in x[index == 2]:
        _, state = module.gru(row.view(1, 1, 4), state)
    torch.testing.assert_close(module(x, index, 5)[2], state.view(4))


def test_the_gru_reads_in_another_order_each_time_in_training(items):
    x, index = items
    module = GRUAggregator(d_model=4).train()
    first, second = module(x, index, 5), module(x, index, 5)
    assert not torch.equal(first[2], second[2])
    assert torch.equal(first[1], second[1])  # a single item has one order


def test_pna_is_the_twelve_parts_of_the_paper(items):
    x, index = items
    module = PNAAggregator(d_model=4, mean_size=3)
    group = x[index == 2]
    std = (group.var(0, unbiased=False).clamp(min=1e-5)).sqrt()
    parts = torch.cat([group.mean(0), group.amin(0), group.amax(0), std])
    scale = torch.tensor(len(group) + 1.0).log() / torch.tensor(4.0).log()  # log(size + 1) over that of the mean size
    expected = module.joined(torch.cat([parts, parts * scale, parts / scale]))
    torch.testing.assert_close(module(x, index, 5)[2], expected, rtol=1e-4, atol=1e-5)
