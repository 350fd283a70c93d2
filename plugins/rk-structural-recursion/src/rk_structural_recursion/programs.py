"""The abstract state machine of each task, and shortcuts that look like it: programs whose failures can be counted."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from rk_sequence.seq2seq import present
from torch import Tensor

from rk_structural_recursion.forest import Forest, Order
from rk_structural_recursion.numbers import ONE, X0, X1

UNBOUNDED = 1 << 30


def successor_program(
    digits: Int[Tensor, "b t"],
    lengths: Int[Tensor, "b"],
    program: str,
    carry: int = UNBOUNDED,
    copy: int = UNBOUNDED,
) -> tuple[Int[Tensor, "b s"], Int[Tensor, "b"]]:
    """Returns what a program writes for numbers, and how many digits.

    ``asm`` is the machine: it begins in the mode carry, in which X1 becomes X0 and is followed by the same mode, X0
    becomes X1 and is followed by the mode copy, and 01 becomes X0 01. ``first-flip`` carries over no digit: it flips
    the first and copies the rest. ``no-growth`` forgets that 01 becomes two digits. ``bounded`` does not carry beyond
    `carry` digits, where it changes to copy, and ends after `copy` copied digits.

    Args:
        digits: Terms, the lowest digit first.
        lengths: Their digits.
        program: One of these names.
        carry: Digits that `bounded` reads in the mode carry.
        copy: Digits that it reads in the mode copy.
    """
    if program == "first-flip":
        carry = 1
    elif program != "bounded":
        carry = copy = UNBOUNDED
    width = digits.shape[1]
    there, place = present(digits, lengths), torch.arange(width)
    carries = carrying(digits, carry) & there
    copied = (there & ~carries).cumsum(1)
    kept = there & (carries | (copied <= copy))
    flipped = torch.where(digits == X1, X0, X1)
    changed = torch.where(carries & (digits != ONE), flipped, digits)
    counts = kept.sum(1)
    written = torch.nn.functional.pad(changed * kept, (0, 1))
    grows = (carries & (digits == ONE)).any(1)
    if program != "no-growth":
        grown = torch.where(place.new_tensor(range(width + 1)) == lengths.unsqueeze(1), ONE, written)
        grown = torch.where(place.new_tensor(range(width + 1)) == lengths.unsqueeze(1) - 1, X0, grown)
        written = torch.where(grows.unsqueeze(1), grown, written)
        counts = counts + grows
    return written[:, : int(counts.max())], counts


def carrying(digits: Int[Tensor, "b t"], most: int) -> Bool[Tensor, "b t"]:
    """Returns which digits are read in the mode carry: those behind X1 alone, the first `most` of them."""
    before = torch.nn.functional.pad((digits == X1).long(), (1, -1), value=1).cumprod(1).bool()
    return before & (torch.arange(digits.shape[1]) < most)


def traversal_program(
    forest: Forest, order: Order, program: str, levels: int = UNBOUNDED
) -> tuple[Int[Tensor, "b n"], Int[Tensor, "b"]]:
    """Returns the labels that a program writes for trees, and how many.

    ``asm`` is the recursion. ``input-order`` writes labels in the order of the input, which is right in
    pre-order. ``bounded`` recurses into so many levels, and leaves out what is below.

    Args:
        forest: Trees.
        order: Of the traversal.
        program: One of these names.
        levels: Of `bounded`.
    """
    if program == "input-order":
        return forest.traversals("pre")
    labels, counts = forest.traversals(order)
    if program == "asm" or levels >= int(forest.heights.max()):
        return labels, counts
    ranks = forest.ranks(order).masked_fill(~forest.is_node | (forest.levels >= levels), UNBOUNDED)
    counts = (ranks < UNBOUNDED).sum(1)
    labels = forest.labels.gather(1, ranks.argsort(1)[:, : labels.shape[1]])
    return labels * (torch.arange(labels.shape[1]) < counts.unsqueeze(1)), counts
