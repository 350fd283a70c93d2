"""The paper's equations one set, one pair and one triple at a time: what the fast forms are compared with."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rk_lcm.aggregator import LCM
from rk_lcm.operators import GatedSumOperator, GRUOperator, MLPOperator, Operator

BinaryOp = Callable[[Tensor, Tensor], Tensor]


def gru(cell: GRUOperator, u: Tensor, v: Tensor) -> Tensor:
    """GRU(u, v) of one input and one state, gate by gate."""
    d = len(u)
    (W_r, W_z), (U_r, U_z) = cell.both.weight[:, :d].chunk(2), cell.both.weight[:, d:].chunk(2)
    b_r, b_z = cell.both.bias.chunk(2)
    z = torch.sigmoid(W_z @ u + U_z @ v + b_z)
    r = torch.sigmoid(W_r @ u + U_r @ v + b_r)
    n = torch.tanh(cell.new_input(u) + r * cell.new_state(v))
    return (1 - z) * n + z * v


def plain(operator: Operator, a: Tensor, b: Tensor) -> Tensor:
    """f(a, b), before it is made commutative."""
    if isinstance(operator, GRUOperator):
        return gru(operator, a, b)
    both = operator.both.weight @ torch.cat([a, b]) + operator.both.bias
    if isinstance(operator, MLPOperator):
        return torch.tanh(operator.out(torch.relu(both)))
    if isinstance(operator, GatedSumOperator):
        p, q = (2 * torch.sigmoid(both)).chunk(2)
        return p * a + q * b
    raise TypeError(f"no equation of {type(operator).__name__}")


def binary_op(aggregator: LCM, a: Tensor, b: Tensor) -> Tensor:
    """a (+) b."""
    operator = aggregator.operator
    if operator.symmetrize == "mean":
        return (plain(operator, a, b) + plain(operator, b, a)) / 2
    if operator.symmetrize == "max-min":
        return plain(operator, torch.maximum(a, b), torch.minimum(a, b))
    return plain(operator, a, b)


def aggregate(aggregator: LCM, items: list[Tensor]) -> Tensor:
    """One set: pairs of neighbours, level by level; an odd last item moves up."""
    if not items:
        return aggregator.identity
    level = [aggregator.lift(x) for x in items]
    while len(level) > 1:
        above = [binary_op(aggregator, level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = above + level[2 * len(above) :]
    return level[0]


def commutativity(op: BinaryOp, a: Tensor, b: Tensor) -> Tensor:
    """The mean over pairs of |a (+) b - b (+) a|^2."""
    return torch.stack([(op(x, y) - op(y, x)).square().sum() for x, y in zip(a, b, strict=True)]).mean()


def associativity(op: BinaryOp, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """The mean over triples of |(a (+) b) (+) c - a (+) (b (+) c)|^2."""
    triples = zip(a, b, c, strict=True)
    return torch.stack([(op(op(x, y), z) - op(x, op(y, z))).square().sum() for x, y, z in triples]).mean()


def identity(op: BinaryOp, a: Tensor, e: Tensor) -> Tensor:
    """The mean over elements of |a (+) e - a|^2."""
    return torch.stack([(op(x, e) - x).square().sum() for x in a]).mean()
