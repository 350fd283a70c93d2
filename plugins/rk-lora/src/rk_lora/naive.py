"""The naive twin of an adapted layer: Eq. 3 as it is printed, one row after the other."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def naive_adapted(
    x: Float[Tensor, "rows in"],
    weight: Float[Tensor, "out in"],
    bias: Float[Tensor, "out"],
    a: Float[Tensor, "rank in"],
    b: Float[Tensor, "out rank"],
    alpha: float,
) -> Float[Tensor, "rows out"]:
    """Returns ``W0 x + b0 + (alpha / r) B A x`` for each row x (Eq. 3)."""
    rank = len(a)
    return torch.stack([weight @ row + bias + (alpha / rank) * (b @ (a @ row)) for row in x])
