"""Integers as bits: encoding, the loss of each bit, and the share of integers whose bits are all right."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from rk.protocols import Share


def to_bits(numbers: Int[Tensor, "*items"], bits: int) -> Float[Tensor, "*items bits"]:
    """Returns the bits of integers from 0 as 0.0 and 1.0, the lowest first."""
    return (numbers.unsqueeze(-1) >> torch.arange(bits, device=numbers.device)).remainder(2).float()


def from_bits(bits: Tensor) -> Int[Tensor, "*items"]:
    """Returns the integers of (*items, bits) bits, the lowest first: numbers above 0.5, or Booleans."""
    return ((bits > 0.5).long() << torch.arange(bits.shape[-1], device=bits.device)).sum(-1)


class BitCrossEntropy:
    """Binary cross-entropy of each bit of an answer.

    Examples:
        loss: bit-cross-entropy

        >>> total, count = BitCrossEntropy()(logits=torch.zeros(2, 3), targets=torch.ones(2, 3))
        >>> f"{total / count:.4f}"
        '0.6931'
    """

    def __call__(self, *, logits: Float[Tensor, "items outputs"], targets: Float[Tensor, "items outputs"]) -> Share:
        """Returns the summed loss and the number of bits.

        Args:
            logits: (items, bits), above 0 where a 1 is more likely.
            targets: (items, bits), 0.0 or 1.0.
        """
        return functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum"), targets.numel()


class ExactMatch:
    """Share of answers whose bits are all right.

    Examples:
        metrics: {exact-match: exact-match}
    """

    def __call__(self, *, logits: Float[Tensor, "items outputs"], targets: Float[Tensor, "items outputs"]) -> Share:
        """Returns how many of the items have every bit on the right side of 0, and the number of items."""
        return ((logits > 0) == (targets > 0.5)).all(-1).sum(), len(targets)


def bit_accuracy(*, logits: Float[Tensor, "items outputs"], targets: Float[Tensor, "items outputs"]) -> Share:
    """Share of single bits that are right."""
    return ((logits > 0) == (targets > 0.5)).sum(), targets.numel()
