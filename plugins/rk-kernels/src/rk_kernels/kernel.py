"""The protocol of kernels, and the positive parameters that kernels learn."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rk.protocols import Layer


class Kernel(Layer, Protocol):
    """A covariance function, as the layer of a kernel machine: in a recipe, ``kernel: {name: mlp-kernel, depth: 4}``.

    An ``nn.Module`` in float64. What it learns are its parameters, through any gradient, the evidence's above all.
    Leading dimensions of the inputs, as of a batch of problems, are kept by kernels of vectors.
    """

    def forward(self, x1: Tensor, x2: Tensor | None = None) -> Tensor:
        """Returns (n1, n2) for inputs of (n1, ...) and (n2, ...); None stands for `x1` again, exactly symmetric."""
        ...

    def diagonal(self, x: Tensor) -> Tensor:
        """Returns the covariance of each input with itself, (n,)."""
        ...


class Positive(nn.Module):
    """A positive number that is learned through softplus, or held.

    Args:
        value: Where it begins, above 0.
        learned: Whether gradients change it.
    """

    def __init__(self, value: float, learned: bool = True) -> None:
        super().__init__()
        if not value > 0:
            raise ValueError(f"the value must be > 0, got {value}")
        # softplus^-1, in a form that neither overflows nor loses the small ones
        raw = value + math.log(-math.expm1(-value))
        self.raw = nn.Parameter(torch.tensor(raw, dtype=torch.float64), requires_grad=learned)

    def forward(self) -> Float[Tensor, ""]:
        """Returns the number."""
        return nn.functional.softplus(self.raw)


def positive_or_zero(value: float, learned: bool) -> Positive | None:
    """Returns a learned positive number; None for a zero, which stays one."""
    return None if value == 0 else Positive(value, learned)
