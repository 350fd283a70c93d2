"""N:M sparsity: of each group of M weights along the input, the N of the largest magnitude are kept."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rk import UserError

_PAIRS = 16
"""The largest group whose pairs are compared; larger ones are sorted."""


def keep_n_of_m(scores: Float[Tensor, "out in_ *kernel"], n: int, m: int, name: str) -> Bool[Tensor, "out in_ *kernel"]:
    """Returns the mask that keeps the `n` highest scores of every `m` neighbours along axis 1.

    Axis 1 has the input features of a linear layer and the input channels of a convolution.

    Args:
        scores: Of one weight.
        n: Kept per group.
        m: Size of a group; it must divide axis 1.
        name: Of the weight, for messages.

    Raises:
        rk.UserError: When `m` does not divide axis 1.
    """
    if scores.shape[1] % m:
        raise UserError(
            f"{name} has {scores.shape[1]} inputs, which {m} does not divide", "exclude it, or choose another m"
        )
    grouped = scores.movedim(1, -1).unflatten(-1, (-1, m))
    kept = (_by_pairs if m <= _PAIRS else _by_sorting)(grouped, n)
    return kept.flatten(-2).movedim(-1, 1)


def _by_pairs(grouped: Float[Tensor, "*groups m"], n: int) -> Bool[Tensor, "*groups m"]:
    """Compares all pairs of places, each for all groups at once: sorting many short rows takes longer."""
    places = grouped.movedim(-1, 0).contiguous()
    above = torch.zeros_like(places, dtype=torch.int8)
    for i in range(len(places)):
        for j in range(i + 1, len(places)):
            first = places[i] >= places[j]  # of equal scores, the first is kept
            above[j] += first
            above[i] += ~first
    return (above < n).movedim(0, -1)


def _by_sorting(grouped: Float[Tensor, "*groups m"], n: int) -> Bool[Tensor, "*groups m"]:
    order = grouped.argsort(dim=-1, descending=True, stable=True)
    return torch.zeros_like(grouped, dtype=torch.bool).scatter(-1, order[..., :n], True)
