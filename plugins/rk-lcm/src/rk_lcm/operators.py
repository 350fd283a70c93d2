"""Binary operators on vectors, and what makes them commutative.

Most of an operator is linear in both operands, V [a, b]. For all pairs of a level of the tree, and for both orders of
each pair, this is one product of matrices: what is wanted of [b, a] is that of [a, b] with the columns of V exchanged.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from rk_lcm.tree import Combine

Symmetrize = Literal["mean", "max-min", "none"]


class Operator(nn.Module, ABC):
    """f(a, b), from V [a, b] and the operands, made commutative.

    Args:
        d_model: Width of an operand.
        width: Rows of V.
        symmetrize: ``mean``: (f(a, b) + f(b, a)) / 2. ``max-min``: f(max(a, b), min(a, b)), feature by feature.
            ``none``: f itself, which is not commutative.
    """

    def __init__(self, d_model: int, width: int, symmetrize: Symmetrize) -> None:
        super().__init__()
        self.symmetrize = symmetrize
        self.both = nn.Linear(2 * d_model, width)

    @abstractmethod
    def join(
        self, both: Float[Tensor, "*pairs width"], a: Float[Tensor, "*pairs d"], b: Float[Tensor, "*pairs d"]
    ) -> Float[Tensor, "*pairs d"]:
        """Returns f(a, b); `both` is V [a, b]."""

    def combine(self) -> Combine:
        """Returns (+) of pairs (a, b) side by side; what follows from weights alone is computed once."""
        if self.symmetrize != "mean":
            return self._in_one_order
        weight = torch.cat([self.both.weight, self.both.weight.roll(self.both.in_features // 2, 1)])
        bias = self.both.bias.repeat(2)

        def mean_over_orders(pairs: Tensor) -> Tensor:
            exchanged = torch.stack(pairs.unbind(-2)[::-1], -2)
            both = functional.linear(pairs.flatten(-2), weight, bias)
            return self.join(both.unflatten(-1, (2, -1)), pairs, exchanged).mean(-2)

        return mean_over_orders

    def _in_one_order(self, pairs: Float[Tensor, "*pairs 2 d"]) -> Float[Tensor, "*pairs d"]:
        if self.symmetrize == "max-min":
            pairs = torch.stack([pairs.amax(-2), pairs.amin(-2)], -2)
        return self.join(self.both(pairs.flatten(-2)), *pairs.unbind(-2))

    def forward(self, pairs: Float[Tensor, "*pairs 2 d"]) -> Float[Tensor, "*pairs d"]:
        """Returns a (+) b for pairs (a, b) side by side."""
        return self.combine()(pairs)


class GRUOperator(Operator):
    """A GRU cell with the input a and the state b, as in `torch.nn.GRUCell`.

    r, z = sigmoid(W a + U b), n = tanh(W_n a + r * U_n b), f(a, b) = (1 - z) * n + z * b, each with its biases. The
    bias of z begins one higher than the others, so that operands survive deep trees.
    """

    def __init__(self, d_model: int, symmetrize: Symmetrize) -> None:
        super().__init__(d_model, 2 * d_model, symmetrize)
        self.new_input = nn.Linear(d_model, d_model)
        self.new_state = nn.Linear(d_model, d_model)
        bound = d_model**-0.5
        for weight in self.parameters():
            nn.init.uniform_(weight, -bound, bound)
        with torch.no_grad():
            self.both.bias[d_model:] += 1

    def join(self, both: Tensor, a: Tensor, b: Tensor) -> Tensor:
        reset, keep = torch.sigmoid(both).chunk(2, -1)
        new = torch.tanh(torch.addcmul(self.new_input(a), reset, self.new_state(b)))
        return torch.lerp(new, b, keep)


class MLPOperator(Operator):
    """An MLP with one hidden layer: f(a, b) = tanh(Z relu(V [a, b]))."""

    def __init__(self, d_model: int, symmetrize: Symmetrize) -> None:
        super().__init__(d_model, 2 * d_model, symmetrize)
        self.out = nn.Linear(2 * d_model, d_model)

    def join(self, both: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return torch.tanh(self.out(torch.relu(both)))


class GatedSumOperator(Operator):
    """A sum whose operands are gated: f(a, b) = p * a + q * b with p, q = 2 sigmoid(V [a, b]).

    It is not bounded, and with V = 0 it is the sum.
    """

    def __init__(self, d_model: int, symmetrize: Symmetrize) -> None:
        super().__init__(d_model, 2 * d_model, symmetrize)

    def join(self, both: Tensor, a: Tensor, b: Tensor) -> Tensor:
        p, q = (2 * torch.sigmoid(both)).chunk(2, -1)
        return torch.addcmul(p * a, q, b)
