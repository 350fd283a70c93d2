"""The method itself: how strong the noise is at a step, and adding it. Of use in any hand-written loop."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rk import sampling


def variance(step: int, eta: float, gamma: float) -> float:
    """Returns the variance of the noise at `step`, counted from 0 (Eq. 1 of arXiv:1511.06807).

    Args:
        step: Optimizer steps done so far.
        eta: Variance at step 0.
        gamma: Decay; 0 keeps the variance.

    Examples:
        >>> [round(variance(step, eta=1.0, gamma=0.55), 3) for step in (0, 1, 10)]
        [1.0, 0.683, 0.267]
    """
    return eta / (1 + step) ** gamma  # Eq. 1: sigma_t^2, a variance and not a standard deviation


@torch.no_grad()
def add_noise(gradients: Sequence[Tensor], std: float, *key: int) -> list[Tensor]:
    """Adds independent Gaussian noise of standard deviation `std` to every number of every gradient, in place.

    Eq. 1 of arXiv:1511.06807, whose sigma_t is `std`.
    All numbers of one device and dtype are one draw and one fused addition.

    Args:
        gradients: Dense tensors of any shapes.
        std: Standard deviation of the noise.
        *key: What the noise is a function of, together with the shapes: equal keys draw equal noise, in any process.

    Returns:
        One flat tensor of standard normal numbers per device and dtype: the noise, short of `std`.
    """
    groups: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for gradient in gradients:
        groups.setdefault((gradient.device, gradient.dtype), []).append(gradient)
    drawn: list[Tensor] = []
    for (device, dtype), group in groups.items():
        sizes = [gradient.numel() for gradient in group]
        seed = sampling.generator(*key, len(drawn)).initial_seed()
        random = torch.Generator(device).manual_seed(seed)
        normal = torch.randn(sum(sizes), dtype=dtype, device=device, generator=random)
        pieces = [piece.view_as(g) for piece, g in zip(normal.split(sizes), group, strict=True)]
        torch._foreach_add_(group, pieces, alpha=std)
        drawn.append(normal)
    return drawn
