"""One change of a dynamic mask: the weakest weights are dropped, and as many are grown elsewhere."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rk_sparsity.topk import highest


def replace(
    kept: Bool[Tensor, "*shape"], weight: Float[Tensor, "*shape"], growth: Float[Tensor, "*shape"], share: float
) -> Bool[Tensor, "*shape"]:
    """Returns the mask in which a share of the kept weights is replaced; it keeps as many as before.

    The weights of the smallest magnitude are dropped. Then those with the highest growth scores are grown among all
    that are not kept. One that was just dropped may be grown again, as in RigL's own code.

    Args:
        kept: The mask so far.
        weight: The weights.
        growth: Scores of growth: the gradient's magnitude (RigL), random numbers (SET), the momentum's (SNFS).
        share: Share of the kept weights.
    """
    active = int(kept.sum())
    number = min(int(share * active), kept.numel() - active)
    if number == 0:
        return kept
    magnitude = weight.detach().abs().masked_fill(~kept, -1.0)
    stays = highest(magnitude.flatten(), active - number).view_as(kept)
    grown = highest(growth.masked_fill(stays, -torch.inf).flatten(), number).view_as(kept)
    return stays | grown
