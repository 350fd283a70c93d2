"""Random shapes of binary trees: items in pre-order, as `rk_structural_recursion.forest` has them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Int
from torch import Tensor


def uniform_shapes(nodes: Int[Tensor, "b"], random: torch.Generator) -> Int[Tensor, "b i"]:
    """Returns shapes of so many nodes, each shape with the same probability.

    By the cycle lemma (Dvoretzky and Motzkin, 1947): of the 2 n + 1 rotations of n nodes and n + 1 leaves in any order,
    exactly one is a tree. It begins behind the first lowest sum, with 1 for a node and -1 for a leaf.
    """
    size = 2 * nodes.unsqueeze(1) + 1
    place = torch.arange(int(size.max()))
    order = torch.rand(len(nodes), len(place), generator=random).masked_fill(place >= size, 2.0).argsort(1)
    shuffled = (order < nodes.unsqueeze(1)).long()
    total = (2 * shuffled - 1).cumsum(1).masked_fill(place >= size, len(place) + 1)
    lowest = total.argmin(1, keepdim=True)
    turned = shuffled.gather(1, (place + lowest + 1) % size)
    return turned.masked_fill(place >= size, -1)


def random_insertion_shapes(nodes: Int[Tensor, "b"], random: torch.Generator) -> Int[Tensor, "b i"]:
    """Returns the shapes of search trees into which so many keys were inserted in random order.

    The root is each of the keys with the same probability, and so is that of each subtree.
    """
    return _grown(nodes, lambda size: (torch.rand(len(nodes), generator=random) * size).long())


def chains(nodes: Int[Tensor, "b"], random: torch.Generator) -> Int[Tensor, "b i"]:
    """Returns the deepest shapes: each node has one child, on a random side."""
    return _grown(nodes, lambda size: (size - 1) * torch.randint(2, (len(nodes),), generator=random))


def _grown(nodes: Int[Tensor, "b"], left_sizes: Callable[[Tensor], Tensor]) -> Int[Tensor, "b i"]:
    """Returns shapes whose left subtrees get the sizes that `left_sizes` draws for subtrees of some sizes."""
    rows, width = torch.arange(len(nodes)), 2 * int(nodes.max()) + 1
    waiting = torch.zeros(len(nodes), width + 1, dtype=torch.int64)  # sizes of the subtrees to come, the next on top
    waiting[:, 0] = nodes
    top = torch.zeros_like(nodes)
    items = torch.full((len(nodes), width), -1)
    for i in range(width):
        there = top >= 0
        size = waiting[rows, top.clamp(min=0)]
        is_node = there & (size > 0)
        items[:, i] = torch.where(there, (size > 0).long(), -1)
        left = torch.where(is_node, left_sizes(size), 0)
        place = top.clamp(min=0)
        waiting[rows, place] = torch.where(is_node, size - 1 - left, waiting[rows, place])
        waiting[rows, place + 1] = torch.where(is_node, left, waiting[rows, place + 1])
        top = torch.where(is_node, top + 1, top - 1)
    return items
