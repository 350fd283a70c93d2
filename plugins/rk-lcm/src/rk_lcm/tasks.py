"""What is asked about a set of integers: most are folds of a commutative monoid on integers, or read from one.

An empty set gives the identity: the largest value for minima, 0 for the others.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Bool, Int
from torch import Tensor

Task = Literal["min", "max", "sum", "second-min", "kth-min", "mod-sum", "distinct-count"]
TASKS: tuple[Task, ...] = get_args(Task)


def answer(
    task: Task,
    values: Int[Tensor, "sets items"],
    mask: Bool[Tensor, "sets items"],
    *,
    value_bits: int,
    k: int = 2,
) -> Int[Tensor, "sets"]:
    """Returns the answer for each set.

    Args:
        task: ``kth-min``: the k-th smallest, equal values counted as often as they occur, as if each set had the
            largest value k times more; ``mod-sum``: the sum modulo 2^value_bits.
        values: (sets, items) from 0 to 2^value_bits - 1.
        mask: (sets, items), True where an item exists.
        value_bits: Bits of a value.
        k: Which minimum ``kth-min`` asks for, from 1.
    """
    largest = 2**value_bits - 1
    if task == "max":
        return values.masked_fill(~mask, 0).amax(1) if values.shape[1] else values.new_zeros(len(values))
    if task in ("min", "second-min", "kth-min"):
        rank = {"min": 1, "second-min": 2, "kth-min": k}[task]
        more = values.new_full((len(values), rank), largest)
        return torch.cat([values.masked_fill(~mask, largest), more], 1).sort(1).values[:, rank - 1]
    if task == "distinct-count":
        counts = values.new_zeros(len(values), largest + 1).scatter_add_(1, values, mask.to(values.dtype))
        return (counts > 0).sum(1)
    total = (values * mask).sum(1)
    return total if task == "sum" else total % (largest + 1)


def answer_bits(task: Task, value_bits: int, largest_size: int) -> int:
    """Returns the bits of the largest answer to sets of up to `largest_size` items."""
    if task == "sum":
        return ((2**value_bits - 1) * largest_size).bit_length()
    if task == "distinct-count":
        return min(largest_size, 2**value_bits).bit_length()
    return value_bits
