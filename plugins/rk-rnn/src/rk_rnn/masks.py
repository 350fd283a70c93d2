"""Steps that do not exist: taken out before a kernel runs, which then sees no holes, and put back after it.

A kernel knows no masks, but what it gives at a step does not depend on later ones. So the steps that exist go to the
front, the kernel runs over all, and what it gives after a row's last step is not looked at.
"""

# b batch, t time, w width

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def to_front(x: Float[Tensor, "b t w"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b t w"]:
    """Returns the steps that exist, in their order, and after them the others."""
    exist = mask.cumsum(1)
    behind = exist[:, -1:] + (~mask).cumsum(1)
    place = torch.where(mask, exist, behind) - 1  # a sort gives the same, but has no counterpart in ONNX
    return torch.empty_like(x).scatter(1, place.unsqueeze(-1).expand_as(x), x)


def at_front(mask: Bool[Tensor, "b t"]) -> Bool[Tensor, "b t"]:
    """Returns the mask of what `to_front` returns."""
    return torch.arange(mask.shape[1], device=mask.device) < mask.sum(1, keepdim=True)


def put_back(x: Float[Tensor, "b t w"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b t w"]:
    """Undoes `to_front`; a step that does not exist gets the value of one that does."""
    source = (mask.cumsum(1) - 1).clamp(min=0)
    return x.gather(1, source.unsqueeze(-1).expand_as(x))


def last(
    x: Float[Tensor, "b t w"], start: Float[Tensor, "b w"], front: Bool[Tensor, "b t"] | None
) -> Float[Tensor, "b w"]:
    """Returns what `x` has at each row's last step; `start` for a row without steps.

    Args:
        x: One value per step.
        start: The value before the first step.
        front: A mask as `at_front` returns it; None: all steps exist.
    """
    if front is None:
        return x[:, -1]
    values = torch.cat([start.unsqueeze(1), x], 1)
    return values[torch.arange(x.shape[0], device=x.device), front.sum(1)]
