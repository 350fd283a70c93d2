"""Slow and plain versions of the operations, which tests and the benchmark compare with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def add_noise(gradients: Sequence[Tensor], std: float, random: torch.Generator) -> None:
    """Adds noise tensor by tensor, with its mean and its standard deviation written out for every number."""
    for gradient in gradients:
        mean, deviation = torch.zeros_like(gradient), torch.full_like(gradient, std)
        gradient += torch.normal(mean, deviation, generator=random)


def clip_members(gradients: Sequence[Tensor], max_norm: float) -> None:
    """Clips each member of an ensemble with torch's own function, one after the other."""
    for member in range(len(gradients[0])):
        alone = [torch.nn.Parameter(gradient[member]) for gradient in gradients]
        for parameter, gradient in zip(alone, gradients, strict=True):
            parameter.grad = gradient[member]  # a view: clipped in place
        torch.nn.utils.clip_grad_norm_(alone, max_norm)
