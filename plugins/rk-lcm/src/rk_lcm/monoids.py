"""How far a binary operator is from a commutative monoid: three sums over triples of elements."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rk.protocols import Share

BinaryOp = Callable[[Tensor, Tensor], Tensor]


@runtime_checkable
class BinaryAggregator(Protocol):
    """An aggregator that folds items with a binary operator.

    It may also have ``lift``, by which items become elements, and ``identity``, of (d,), the element of an empty group.
    """

    def binary_op(self, a: Float[Tensor, "rows d"], b: Float[Tensor, "rows d"]) -> Float[Tensor, "rows d"]:
        """Returns a (+) b of each row."""
        ...


def aggregators(module: nn.Module) -> dict[str, nn.Module]:
    """Returns the aggregators inside a module by their names: `forward` takes ``x``, ``index`` and ``num_groups``."""
    found = {}
    for name, inner in module.named_modules():
        try:
            taken = tuple(inspect.signature(inner.forward).parameters)
        except (TypeError, ValueError):
            continue
        if taken == ("x", "index", "num_groups"):
            found[name] = inner
    return found


def lifted(aggregator: nn.Module, x: Float[Tensor, "items d"]) -> Float[Tensor, "items d"]:
    """Returns items as elements."""
    lift: Callable[[Tensor], Tensor] | None = getattr(aggregator, "lift", None)
    return x if lift is None else lift(x)


def draw_triples(
    items: Float[Tensor, "items d"], results: Float[Tensor, "groups d"], count: int
) -> Float[Tensor, "3 count d"]:
    """Returns triples of elements: each is an item or the result of a group, both equally likely.

    Args:
        items: (items, d), lifted.
        results: (groups, d), what the aggregator gave: states of trees of all sizes that the batches have.
        count: How many triples.
    """
    device = items.device
    item = items.index_select(0, torch.randint(len(items), (3 * count,), device=device))
    result = results.index_select(0, torch.randint(len(results), (3 * count,), device=device))
    return torch.where(torch.rand(3 * count, 1, device=device) < 0.5, item, result).view(3, count, -1)


def commutativity(op: BinaryOp, a: Float[Tensor, "rows d"], b: Float[Tensor, "rows d"]) -> Share:
    """Returns the sum of |a (+) b - b (+) a|^2 and the number of pairs."""
    there, back = op(torch.cat([a, b]), torch.cat([b, a])).chunk(2)
    return (there - back).square().sum(), len(a)


def both_ways(
    op: BinaryOp, a: Float[Tensor, "rows d"], b: Float[Tensor, "rows d"], c: Float[Tensor, "rows d"]
) -> tuple[Float[Tensor, "rows d"], Float[Tensor, "rows d"]]:
    """Returns (a (+) b) (+) c and a (+) (b (+) c), with two calls of the operator."""
    ab, bc = op(torch.cat([a, b]), torch.cat([b, c])).chunk(2)
    left, right = op(torch.cat([ab, a]), torch.cat([c, bc])).chunk(2)
    return left, right


def associativity(
    op: BinaryOp, a: Float[Tensor, "rows d"], b: Float[Tensor, "rows d"], c: Float[Tensor, "rows d"]
) -> Share:
    """Returns the sum of |(a (+) b) (+) c - a (+) (b (+) c)|^2 and the number of triples."""
    left, right = both_ways(op, a, b, c)
    return (left - right).square().sum(), len(a)


def identity(op: BinaryOp, a: Float[Tensor, "rows d"], e: Float[Tensor, "d"]) -> Share:
    """Returns the sum of |a (+) e - a|^2 and the number of elements."""
    return (op(a, e.expand_as(a)) - a).square().sum(), len(a)
