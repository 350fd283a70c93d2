"""The fast folds against the paper's recursion, one set at a time, and against another library's."""

from __future__ import annotations

from functools import partial
from itertools import product

import pytest
import rk_lcm.aggregator
import torch
from rk_lcm import naive
from rk_lcm.aggregator import LCM
from rk_lcm.tree import fold_dense, fold_ragged
from torch import Tensor

from rk.testing import assert_close, assert_twins

SIZES = (0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33)
OPERATORS = tuple(product(("gru", "mlp", "gated-sum"), ("mean", "max-min", "none")))


def make(**settings: object) -> LCM:
    torch.manual_seed(0)
    return LCM(d_model=5, **settings).double().eval()


def groups(sizes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Returns the items and the group of each, in a random order that keeps the order within groups."""
    index = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    mixed = index[torch.randperm(len(index))]
    return torch.randn(len(index), 5, dtype=torch.float64), mixed


def one_by_one(layer: LCM, x: Tensor, index: Tensor, num_groups: int) -> Tensor:
    return torch.stack([naive.aggregate(layer, list(x[index == group])) for group in range(num_groups)])


@pytest.mark.parametrize(("operator", "symmetrize"), OPERATORS)
def test_ragged_groups_are_folded_as_the_recursion_folds_each_set(operator, symmetrize):
    layer = make(operator=operator, symmetrize=symmetrize, identity="learned")
    x, index = groups(SIZES)
    layer.identity.data.normal_()
    assert_twins(
        lambda x: layer(x, index, len(SIZES)),
        lambda x: one_by_one(layer, x, index, len(SIZES)),
        x,
        parameters=list(layer.parameters()),
    )


@pytest.mark.parametrize("size", SIZES[1:])
def test_groups_of_one_size_are_folded_as_the_recursion_folds_each_set(size):
    layer = make(project=False)
    x, index = groups((size,) * 3)
    assert_twins(
        lambda x: layer(x, index, 3),
        lambda x: one_by_one(layer, x, index, 3),
        x,
        parameters=list(layer.parameters()) if size > 1 else (),
    )


def test_the_dense_form_is_the_sparse_one_whatever_is_where_no_item_is():
    layer = make(identity="learned")
    layer.identity.data.normal_()
    mask = torch.rand(6, 11) < 0.6
    mask[0], mask[1] = True, False
    x = torch.randn(6, 11, 5, dtype=torch.float64)
    index = torch.arange(6).unsqueeze(1).expand(6, 11)[mask]
    expected = layer(x[mask], index, 6)
    assert_close(layer.dense(x, mask), expected)
    assert_close(layer.dense(x.masked_fill(~mask.unsqueeze(-1), 1e6), mask), expected)


def test_a_set_does_not_depend_on_how_large_the_others_are():
    layer = make()
    x, index = torch.randn(12, 5, dtype=torch.float64), torch.tensor([0] * 3 + [1] * 9)
    assert_close(layer(x, index, 2)[0], layer(x[:3], index[:3], 1)[0])


def test_a_level_is_one_call_and_the_depth_is_logarithmic():
    calls: list[int] = []

    def last(pairs: Tensor) -> Tensor:
        calls.append(pairs.shape[:-2].numel())
        return pairs[..., 1, :]

    assert fold_dense(last, torch.arange(1000.0).view(1, 1000, 1)).item() == 999
    assert len(calls) == 10 and sum(calls) == 999
    calls.clear()
    sizes = torch.tensor([1, 0, 100, 3])
    assert fold_ragged(last, torch.arange(104.0).unsqueeze(1), sizes).flatten().tolist() == [0, 100, 103]
    assert len(calls) == 7 and sum(calls) == 99 + 2


def test_one_item_bypasses_the_operator_and_none_gives_the_identity():
    layer = make(project=False)
    x = torch.randn(1, 5, dtype=torch.float64)
    assert torch.equal(layer(x, torch.tensor([1]), 2), torch.cat([torch.zeros_like(x), x]))
    assert torch.equal(layer(x[:0], torch.tensor([], dtype=torch.int64), 2), torch.zeros(2, 5, dtype=torch.float64))


@pytest.mark.parametrize("operator", ["gru", "mlp", "gated-sum"])
@pytest.mark.parametrize("symmetrize", ["mean", "max-min"])
def test_a_symmetrised_operator_is_commutative_and_another_is_not(operator, symmetrize):
    a, b = torch.randn(2, 7, 5, dtype=torch.float64)
    layer, other = make(operator=operator, symmetrize=symmetrize), make(operator=operator, symmetrize="none")
    assert_close(layer.binary_op(a, b), layer.binary_op(b, a))
    assert not torch.allclose(other.binary_op(a, b), other.binary_op(b, a), rtol=0.01)


def test_orders_are_random_in_training_alone_unless_the_recipe_says_otherwise():
    x, index = groups((9, 4))

    def changes(layer: LCM, *, dense: bool = False) -> bool:
        call = partial(layer.dense, x[:12].view(2, 6, 5), torch.ones(2, 6, dtype=torch.bool)) if dense else None
        once, again = (call() if call else layer(x, index, 2) for _ in range(2))
        return not torch.equal(once, again)

    for dense in (False, True):
        for shuffle, (training, answering) in {
            "train": (True, False), "always": (True, True), "never": (False, False),
        }.items():  # fmt: skip
            layer = make(shuffle=shuffle)
            assert changes(layer, dense=dense) == answering
            assert changes(layer.train(), dense=dense) == training


def test_a_shuffled_group_keeps_its_items():
    layer = make(shuffle="always", project=False)
    layer.operator.combine = lambda: lambda pairs: pairs.sum(-2)
    x, index = groups((9, 0, 4))
    sums = torch.zeros(3, 5, dtype=torch.float64).index_add_(0, index, x)
    assert_close(layer(x, index, 3), sums)
    mask = torch.rand(3, 8) < 0.5
    dense = torch.randn(3, 8, 5, dtype=torch.float64)
    assert_close(layer.dense(dense, mask), (dense * mask.unsqueeze(-1)).sum(1))


def test_it_is_the_aggregation_of_pytorch_geometric_where_no_set_is_padded():
    from torch_geometric.nn.aggr import LCMAggregation

    layer = make()
    theirs = LCMAggregation(5, 5).double().eval()
    d, operator = 5, layer.operator
    with torch.no_grad():
        theirs.lin.weight.copy_(layer.projection.weight)
        theirs.lin.bias.copy_(layer.projection.bias)
        theirs.gru_cell.weight_ih.copy_(torch.cat([operator.both.weight[:, :d], operator.new_input.weight]))
        theirs.gru_cell.weight_hh.copy_(torch.cat([operator.both.weight[:, d:], operator.new_state.weight]))
        theirs.gru_cell.bias_ih.copy_(torch.cat([operator.both.bias, operator.new_input.bias]))
        theirs.gru_cell.bias_hh.copy_(torch.cat([torch.zeros(2 * d), operator.new_state.bias]))
    x, index = torch.randn(4 * 11, 5, dtype=torch.float64), torch.arange(4).repeat_interleave(11)
    assert_close(layer(x, index, 4), theirs(x, index, dim_size=4))


def test_a_tree_that_drops_its_odd_item_is_noticed(plant):
    plant(rk_lcm.aggregator, "fold_dense", "torch.cat([joined, x[:, -1:]], 1) if n % 2 else joined", "joined")
    with pytest.raises(AssertionError):
        test_groups_of_one_size_are_folded_as_the_recursion_folds_each_set(7)
