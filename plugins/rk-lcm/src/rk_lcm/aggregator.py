"""The aggregator `lcm`: a learned commutative monoid, folded in a balanced tree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from rk_lcm.operators import GatedSumOperator, GRUOperator, MLPOperator, Operator, Symmetrize
from rk_lcm.tree import fold_dense, fold_ragged

OPERATORS: dict[str, Callable[[int, Symmetrize], Operator]] = {
    "gru": GRUOperator,
    "mlp": MLPOperator,
    "gated-sum": GatedSumOperator,
}


class LCM(nn.Module):
    """Folds the items of each group with a learned binary operator, in a tree of logarithmic depth.

    A sum, a maximum and a product are folds of fixed commutative monoids. Here the operator is learned (Ong and
    Velickovic, arXiv:2212.08541). It is commutative by construction. Associative it becomes in training, as far
    as random orders and the loss `monoid-regularizer` make it so: outputs then hardly depend on the order of the items.

    Args:
        d_model: Width of an item.
        operator: ``gru``: a GRU cell whose input and state are the operands; ``mlp``: a hidden layer and a tanh;
            ``gated-sum``: a sum whose operands are gated, which is not bounded.
        symmetrize: What makes the operator commutative. ``mean``: the mean over both orders; ``max-min``: the operands
            are replaced by their larger and smaller values, feature by feature, at half the cost; ``none``: nothing.
        identity: What a group without items gives: ``zeros``, or a ``learned`` vector.
        shuffle: When the items of a group are put in random order: in ``train``ing, ``always`` or ``never``.
        project: Whether a linear map and ReLU come first.

    Examples:
        model: {name: deep-sets, aggregator: {name: lcm, project: false}, bounded: true}

        >>> LCM(d_model=2)(torch.ones(3, 2), torch.tensor([1, 0, 1]), 3).shape
        torch.Size([3, 2])
    """

    def __init__(
        self,
        *,
        d_model: int,
        operator: Literal["gru", "mlp", "gated-sum"] = "gru",
        symmetrize: Symmetrize = "mean",
        identity: Literal["zeros", "learned"] = "zeros",
        shuffle: Literal["train", "always", "never"] = "train",
        project: bool = True,
    ) -> None:
        super().__init__()
        self.shuffle = shuffle
        self.projection = nn.Linear(d_model, d_model) if project else None
        self.operator = OPERATORS[operator](d_model, symmetrize)
        self.identity: Tensor
        if identity == "learned":
            self.identity = nn.Parameter(torch.zeros(d_model))
        else:
            self.register_buffer("identity", torch.zeros(d_model), persistent=False)

    def lift(self, x: Float[Tensor, "*items d"]) -> Float[Tensor, "*items d"]:
        """Returns items as elements of the monoid."""
        return x if self.projection is None else torch.relu(self.projection(x))

    def binary_op(self, a: Float[Tensor, "*pairs d"], b: Float[Tensor, "*pairs d"]) -> Float[Tensor, "*pairs d"]:
        """Returns a (+) b of elements of the monoid."""
        joined: Tensor = self.operator(torch.stack([a, b], -2))
        return joined

    def forward(
        self, x: Float[Tensor, "items d"], index: Int[Tensor, "items"], num_groups: int
    ) -> Float[Tensor, "groups d"]:
        """Returns (num_groups, d_model); the identity for a group without items.

        Args:
            x: (items, d_model), in any order.
            index: (items,) int64, the group of each item.
            num_groups: How many groups there are.
        """
        order = self._order(index)
        if order is not None:
            x = x.index_select(0, order)
        x = self.lift(x)
        sizes = torch.bincount(index, minlength=num_groups)
        if num_groups and len(x) and bool((sizes == sizes[0]).all()):
            return fold_dense(self.operator.combine(), x.unflatten(0, (num_groups, -1)))
        roots = fold_ragged(self.operator.combine(), x, sizes)
        if len(roots) == num_groups:
            return roots
        filled = torch.where(sizes > 0, (sizes > 0).cumsum(0), 0)  # row 0 is the identity
        return torch.cat([self.identity.to(roots.dtype).unsqueeze(0), roots]).index_select(0, filled)

    def dense(
        self, x: Float[Tensor, "groups items d"], mask: Bool[Tensor, "groups items"]
    ) -> Float[Tensor, "groups d"]:
        """Returns one row for each group of items side by side.

        Args:
            x: (groups, items, d_model).
            mask: (groups, items), True where an item exists. What does not exist takes no part.
        """
        if self._shuffles:
            key = torch.rand(mask.shape, device=x.device) - mask.to(x.dtype)
            order = key.argsort(1)
            x = x.gather(1, order.unsqueeze(-1).expand_as(x))
        elif not bool((mask[:, 1:] <= mask[:, :-1]).all()):  # a gap: move items to the front, in their order
            order = (~mask).to(torch.uint8).argsort(dim=1, stable=True)
            x = x.gather(1, order.unsqueeze(-1).expand_as(x))
        sizes = mask.sum(1)
        if x.shape[1] == 0:
            return self.identity.expand(len(x), -1)
        roots = fold_dense(self.operator.combine(), self.lift(x), sizes)
        return torch.where(sizes.unsqueeze(1) > 0, roots, self.identity.to(roots.dtype))

    @property
    def _shuffles(self) -> bool:
        return self.shuffle == "always" or (self.shuffle == "train" and self.training)

    def _order(self, index: Int[Tensor, "items"]) -> Int[Tensor, "items"] | None:
        """Returns the items ordered by their groups, at random within each or as they come; None if they are so."""
        if self._shuffles:
            order = torch.randperm(len(index), device=index.device)
            return order.index_select(0, index.index_select(0, order).argsort(stable=True))
        if bool((index[1:] >= index[:-1]).all()):
            return None
        return index.argsort(stable=True)
