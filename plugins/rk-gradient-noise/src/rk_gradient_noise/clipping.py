"""The callback `clip-members`: gradient clipping by global norm, for each member of an ensemble on its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Gt
from jaxtyping import Float
from torch import Tensor

from rk import FitContext, UserError


@torch.no_grad()
def clip_members(gradients: Sequence[Tensor], max_norm: float) -> Float[Tensor, "members"]:
    """Scales each member's gradient down to a norm of at most `max_norm`, in place.

    Args:
        gradients: Tensors whose first dimension is the members.
        max_norm: Largest L2 norm of one member's gradient, over all its parameters.

    Returns:
        The norm of each member's gradient before.
    """
    norms = torch.stack([torch.linalg.vector_norm(g.reshape(len(g), -1), dim=1) for g in gradients]).norm(dim=0)
    scale = (max_norm / (norms + 1e-6)).clamp(max=1.0)  # as torch.nn.utils.clip_grad_norm_ does
    for gradient in gradients:
        gradient.mul_(scale.view(-1, *(1,) * (gradient.ndim - 1)))
    return norms


class ClipMembers:
    """Clips the gradient of each member of an ensemble by its own global norm.

    Every parameter must have the members as its first dimension (`deep-mlp-ensemble`). Callbacks act in the order of
    the recipe: name it before `gradient-noise`, as the paper clips before it adds noise.

    Args:
        max_norm: Largest L2 norm of one member's gradient; the paper has 10 and 100.

    Examples:
        callbacks: [{name: clip-members, max_norm: 10}, {name: gradient-noise, eta: 0.05}]
    """

    def __init__(self, max_norm: Annotated[float, Gt(0)]) -> None:
        self.max_norm = max_norm

    def fit_start(self, fit: FitContext) -> None:
        if fit.recipe.fit.gradient_clip is not None:
            raise UserError(
                "clip-members: fit.gradient_clip clips all members by one norm, before each is clipped by its own",
                "leave fit.gradient_clip out",
            )

    def before_update(self, params: list[Tensor]) -> None:
        sizes = {p.shape[:1] for p in params}
        if len(sizes) != 1 or torch.Size() in sizes:
            shapes = ", ".join(str(tuple(p.shape)) for p in params[:4])
            raise UserError(
                f"clip-members: the parameters do not all have the members as their first dimension: {shapes}, ...",
                "for one network, fit.gradient_clip is enough",
            )
        gradients = [p.grad for p in params if p.grad is not None]
        if gradients:
            clip_members(gradients, self.max_norm)
