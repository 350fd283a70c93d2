"""Continuous maps of sequences in [0, 1] to sequences of the same length: what a network is to approximate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Name = Literal["sort", "max-sin", "running-mean", "equivariant", "tokenwise"]
"""The functions that come with the plugin."""

Function = Callable[[Tensor], Tensor]
"""Maps (batch, time, features) to (batch, time, outputs)."""


def sort(x: Float[Tensor, "batch time features"]) -> Float[Tensor, "batch time features"]:
    """Each feature in ascending order: output i is the i-th order statistic, so positions are needed."""
    return x.sort(1).values


def max_sin(x: Float[Tensor, "batch 2 1"]) -> Float[Tensor, "batch 2 1"]:
    """The larger of both, then ``x1 sin(3 x2)``: a kink at x1 = x2, and two different outputs."""
    first, second = x.unbind(1)
    return torch.stack([torch.maximum(first, second), first * torch.sin(3 * second)], 1)


def running_mean(x: Float[Tensor, "batch time features"]) -> Float[Tensor, "batch time features"]:
    """The mean of all values so far: what is before is enough, what is later is not needed."""
    return x.cumsum(1) / torch.arange(1, x.shape[1] + 1, dtype=x.dtype, device=x.device).view(1, -1, 1)


def equivariant(x: Float[Tensor, "batch time features"]) -> Float[Tensor, "batch time features"]:
    """``x_i`` times the mean of all: permuted inputs give permuted outputs, so no positions are needed."""
    return x * x.mean(1, keepdim=True)


def tokenwise(x: Float[Tensor, "batch time features"]) -> Float[Tensor, "batch time features"]:
    """``sin(2 pi x_i)``: each output needs its own input alone, so no attention is needed."""
    return torch.sin(2 * math.pi * x)


FUNCTIONS: dict[str, Function] = {
    "sort": sort,
    "max-sin": max_sin,
    "running-mean": running_mean,
    "equivariant": equivariant,
    "tokenwise": tokenwise,
}
