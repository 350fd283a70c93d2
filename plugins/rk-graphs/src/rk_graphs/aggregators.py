"""Aggregators: the items of each group become one row, whatever their order. PyTorch Geometric computes them."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol, runtime_checkable

import torch
from annotated_types import Gt
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch_geometric.nn import aggr
from torch_geometric.utils import scatter

from rk.protocols import Aggregator


@runtime_checkable
class DenseAggregator(Protocol):
    """An aggregator that also takes groups side by side, which is faster where they have about the same size."""

    def dense(
        self, x: Float[Tensor, "groups items d"], mask: Bool[Tensor, "groups items"]
    ) -> Float[Tensor, "groups d"]:
        """Returns one row for each group; `mask` is True where an item exists."""
        ...


def aggregate_dense(
    aggregator: Aggregator, x: Float[Tensor, "groups items d"], mask: Bool[Tensor, "groups items"] | None = None
) -> Float[Tensor, "groups d"]:
    """Returns one row for each group of items side by side, by any aggregator.

    Args:
        aggregator: One that has a form for it is asked for that (`DenseAggregator`).
        x: (groups, items, d).
        mask: (groups, items), True where an item exists; None: everywhere.
    """
    if mask is None:
        mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
    if isinstance(aggregator, DenseAggregator):
        return aggregator.dense(x, mask)
    index = torch.arange(len(x), device=x.device).unsqueeze(1).expand(mask.shape)[mask]
    return aggregator(x[mask], index, len(x))


class _Reduced(nn.Module):
    """An aggregator without weights: one reduction."""

    _by: Literal["sum", "mean", "max"]

    def __init__(self, *, d_model: int) -> None:
        super().__init__()
        self.d_model = d_model

    def forward(self, x: Float[Tensor, "items d"], index: Int[Tensor, "items"], num_groups: int) -> Tensor:
        """Returns (num_groups, d); zeros for a group without items."""
        return scatter(x, index, dim=0, dim_size=num_groups, reduce=self._by)


class SumAggregator(_Reduced):
    """The sum of the items.

    Args:
        d_model: Width of an item.

    Examples:
        model: {name: gnn, layer: gin, pool: sum-aggregator}

        >>> SumAggregator(d_model=1)(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([0, 0, 1]), 2).tolist()
        [[3.0], [3.0]]
    """

    _by = "sum"

    def dense(
        self, x: Float[Tensor, "groups items d"], mask: Bool[Tensor, "groups items"]
    ) -> Float[Tensor, "groups d"]:
        """Returns the sums of groups side by side."""
        return (x * mask.unsqueeze(-1)).sum(1)


class MeanAggregator(_Reduced):
    """The mean of the items.

    Args:
        d_model: Width of an item.

    Examples:
        model: {name: gnn, layer: sage, pool: mean-aggregator}

        >>> MeanAggregator(d_model=1)(torch.tensor([[1.0], [3.0]]), torch.tensor([0, 0]), 1).tolist()
        [[2.0]]
    """

    _by = "mean"

    def dense(
        self, x: Float[Tensor, "groups items d"], mask: Bool[Tensor, "groups items"]
    ) -> Float[Tensor, "groups d"]:
        """Returns the means of groups side by side."""
        return (x * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


class MaxAggregator(_Reduced):
    """The largest value of each feature among the items.

    Args:
        d_model: Width of an item.

    Examples:
        model: {name: gnn, layer: sage, pool: max-aggregator}

        >>> MaxAggregator(d_model=1)(torch.tensor([[1.0], [3.0]]), torch.tensor([1, 1]), 2).tolist()
        [[0.0], [3.0]]
    """

    _by = "max"

    def dense(
        self, x: Float[Tensor, "groups items d"], mask: Bool[Tensor, "groups items"]
    ) -> Float[Tensor, "groups d"]:
        """Returns the largest values in groups side by side."""
        largest = x.masked_fill(~mask.unsqueeze(-1), float("-inf")).amax(1)
        return torch.where(mask.any(1, keepdim=True), largest, torch.zeros_like(largest))


class PNAAggregator(nn.Module):
    """Mean, minimum, maximum and standard deviation, each also scaled up and down by the size of the group.

    Principal neighbourhood aggregation (Corso et al., arXiv:2004.05718, Eq. 5 to Eq. 8); a linear layer brings the
    twelve parts back to the width of an item.

    Args:
        d_model: Width of an item.
        mean_size: Size of a group at which scaling changes nothing: about the mean of the training data.

    Examples:
        model: {name: gnn, layer: {name: message-passing, aggregator: {name: pna-aggregator, mean_size: 4}}}

        >>> PNAAggregator(d_model=2)(torch.ones(3, 2), torch.tensor([0, 0, 1]), 2).shape
        torch.Size([2, 2])
    """

    def __init__(self, *, d_model: int, mean_size: Annotated[float, Gt(0)] = 8.0) -> None:
        super().__init__()
        sizes = torch.zeros(max(2, round(mean_size) + 1), dtype=torch.long)
        sizes[max(1, round(mean_size))] = 1
        self.parts = aggr.DegreeScalerAggregation(
            ["mean", "min", "max", "std"], ["identity", "amplification", "attenuation"], deg=sizes
        )
        self.joined = nn.Linear(12 * d_model, d_model)

    def forward(self, x: Float[Tensor, "items d"], index: Int[Tensor, "items"], num_groups: int) -> Tensor:
        """Returns (num_groups, d)."""
        return self.joined(self.parts(x, index, dim_size=num_groups))


class GRUAggregator(nn.Module):
    """A GRU reads the items one after the other; its last state is the row.

    Args:
        d_model: Width of an item.
        shuffle: Reads the items in a random order in training, so that no order is learned.

    Examples:
        model: {name: gnn, layer: {name: message-passing, aggregator: gru-aggregator}}

        >>> GRUAggregator(d_model=2)(torch.ones(3, 2), torch.tensor([1, 0, 1]), 3).shape
        torch.Size([3, 2])
    """

    def __init__(self, *, d_model: int, shuffle: bool = True) -> None:
        super().__init__()
        self.shuffle = shuffle
        self.gru = nn.GRU(d_model, d_model, batch_first=True)

    def forward(self, x: Float[Tensor, "items d"], index: Int[Tensor, "items"], num_groups: int) -> Tensor:
        """Returns (num_groups, d); zeros for a group without items."""
        padded, mask = side_by_side(x, index, num_groups, shuffle=self.shuffle and self.training)
        return self.dense(padded, mask, shuffled=True)

    def dense(
        self, x: Float[Tensor, "groups items d"], mask: Bool[Tensor, "groups items"], *, shuffled: bool = False
    ) -> Float[Tensor, "groups d"]:
        """Returns the last states of groups side by side; `shuffled`: their order is random already."""
        if self.shuffle and self.training and not shuffled:
            order = torch.rand(mask.shape, device=x.device).argsort(1)
            x, mask = x.gather(1, order.unsqueeze(-1).expand_as(x)), mask.gather(1, order)
        sizes = mask.sum(1)
        # items that exist first, in their order
        order = (~mask).to(torch.uint8).argsort(dim=1, stable=True)
        states, _ = self.gru(x.gather(1, order.unsqueeze(-1).expand_as(x)))
        last = (sizes - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, x.shape[-1])
        return states.gather(1, last).squeeze(1) * (sizes > 0).unsqueeze(1)


class AttentionAggregator(nn.Module):
    """A mean weighted by a softmax over the group of a learned score (Li et al., arXiv:1511.05493, Eq. 7).

    Args:
        d_model: Width of an item.

    Examples:
        model: {name: gnn, layer: gin, pool: attention-aggregator}

        >>> AttentionAggregator(d_model=2)(torch.ones(3, 2), torch.tensor([0, 0, 1]), 2).shape
        torch.Size([2, 2])
    """

    def __init__(self, *, d_model: int) -> None:
        super().__init__()
        gate = nn.Sequential(nn.Linear(d_model, d_model), nn.Tanh(), nn.Linear(d_model, 1))
        self.weighted = aggr.AttentionalAggregation(gate, nn.Linear(d_model, d_model))

    def forward(self, x: Float[Tensor, "items d"], index: Int[Tensor, "items"], num_groups: int) -> Tensor:
        """Returns (num_groups, d); zeros for a group without items."""
        return self.weighted(x, index, dim_size=num_groups)


def side_by_side(
    x: Float[Tensor, "items d"], index: Int[Tensor, "items"], num_groups: int, *, shuffle: bool = False
) -> tuple[Float[Tensor, "groups most d"], Bool[Tensor, "groups most"]]:
    """Returns the items of each group side by side, in their order or in a random one, and where there is one.

    Args:
        x: (items, d), in any order.
        index: (items,) The group of each item.
        num_groups: How many groups there are.
        shuffle: Puts the items of each group in random order.
    """
    if shuffle:
        order = torch.randperm(len(index), device=index.device)
        order = order[index[order].argsort(stable=True)]
    else:
        order = index.argsort(stable=True)
    groups = index[order]
    sizes = torch.bincount(groups, minlength=num_groups)
    most = int(sizes.max()) if len(groups) else 0
    place = torch.arange(len(groups), device=x.device) - (sizes.cumsum(0) - sizes)[groups]
    padded = x.new_zeros(num_groups, max(most, 1), x.shape[-1])
    padded[groups, place] = x[order]
    mask = torch.arange(max(most, 1), device=x.device) < sizes.unsqueeze(1)
    return padded, mask
