"""N:M sparsity: of each group of M weights along the input, the N of the largest magnitude are kept."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rk import UserError


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
    order = grouped.argsort(dim=-1, descending=True, stable=True)
    kept = torch.zeros_like(grouped, dtype=torch.bool).scatter(-1, order[..., :n], True)
    return kept.flatten(-2).movedim(-1, 1)
