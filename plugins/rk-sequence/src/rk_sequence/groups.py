"""Finite groups as multiplication tables.

Elements are numbers, the identity is 0. Permutations are numbered in lexicographic order and multiplied as functions:
``(p q)(i) = p(q(i))``. Which side is meant only relabels a group word's answers.
"""

from __future__ import annotations

import itertools
import re
from functools import lru_cache, reduce
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

LARGEST = 720
"""Most elements of a group: its table has the square of it."""

_FACTOR = re.compile(r"([SAZ])([1-9]\d*)")


class Group(NamedTuple):
    """A group.

    Attributes:
        table: ``table[a, b]`` is a b.
        moved: How many points each element moves; a cyclic group counts as a rotation of its own elements.
    """

    table: Int[Tensor, "order order"]
    moved: Int[Tensor, "order"]


@lru_cache(maxsize=8)
def group(name: str) -> Group:
    """Returns the group called `name`: ``S5`` (all permutations), ``A5`` (even ones), ``Z60``, or ``A5xZ2``.

    Raises:
        ValueError: When there is no such group, or it has more than `LARGEST` elements.
    """
    parts = name.split("x")
    factors = [found for part in parts if (found := _FACTOR.fullmatch(part)) is not None]
    if len(factors) < len(parts):
        raise ValueError(f"no group {name!r}: S5, A5, Z60, or a direct product like A5xZ2")
    made, order = [], 1
    for kind, size in ((f[1], int(f[2])) for f in factors):
        order *= _order(kind, size)
        if order > LARGEST:
            raise ValueError(f"the group {name} has more than {LARGEST} elements")
        made.append(_cyclic(size) if kind == "Z" else _permutations(size, even=kind == "A"))
    return reduce(_product, made)


def generated(table: Int[Tensor, "order order"], elements: Int[Tensor, "k"]) -> int:
    """Returns how many elements are products of `elements`."""
    reached = torch.zeros(len(table), dtype=torch.bool)
    new = elements
    while len(new):
        reached[new] = True
        products = table[new][:, elements].unique()
        new = products[~reached[products]]
    return int(reached.sum())


def _order(kind: str, size: int) -> int:
    if kind == "Z":
        return size
    order = 1
    for factor in range(2, size + 1):
        order *= factor
        if order > 2 * LARGEST:  # far enough: of a large size, the factorial is never finished
            break
    return order if kind == "S" else max(1, order // 2)


def _cyclic(size: int) -> Group:
    element = torch.arange(size)
    return Group((element.unsqueeze(1) + element) % size, torch.where(element == 0, 0, size))


def _permutations(size: int, even: bool) -> Group:
    elements = np.array([p for p in itertools.permutations(range(size)) if not even or _is_even(p)])
    products = elements[:, elements].reshape(-1, size)  # products[a * order + b, i] is a(b(i))
    places = size ** np.arange(size)[::-1]
    table = np.searchsorted(elements @ places, products @ places).reshape(len(elements), -1)
    return Group(torch.from_numpy(table), torch.from_numpy((elements != np.arange(size)).sum(1)))


def _is_even(permutation: tuple[int, ...]) -> bool:
    return sum(a > b for a, b in itertools.combinations(permutation, 2)) % 2 == 0


def _product(one: Group, other: Group) -> Group:
    size = len(other.table)
    table = one.table.repeat_interleave(size, 0).repeat_interleave(size, 1) * size + other.table.repeat(
        len(one.table), len(one.table)
    )
    return Group(table, one.moved.repeat_interleave(size) + other.moved.repeat(len(one.table)))
