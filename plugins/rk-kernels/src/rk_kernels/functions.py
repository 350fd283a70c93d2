"""Activations as functions, by the names that recipes give them: those of the duals in `rk_kernels.activations`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from rk_kernels.activations import Activation

_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "leaky-relu": functional.leaky_relu,
    "erf": torch.erf,
    "gelu": functional.gelu,
    "sin": torch.sin,
    "cos": torch.cos,
    "tanh": torch.tanh,
    "silu": functional.silu,
    "linear": lambda x: x,
}

__all__ = ["Activation", "function_of", "hermite_function"]


def function_of(activation: Activation | Sequence[float]) -> Callable[[Tensor], Tensor]:
    """Returns the activation of that name, or with these Hermite coefficients.

    Its dual is `rk_kernels.activations.dual_of`, or `rk_kernels.series.Hermite`.

    Examples:
        >>> function_of("erf")(torch.zeros(2))
        tensor([0., 0.])
    """
    return _FUNCTIONS[activation] if isinstance(activation, str) else hermite_function(activation)


def hermite_function(coefficients: Sequence[float]) -> Callable[[Tensor], Tensor]:
    """Returns sum_n a_n h_n, with h_n the orthonormal Hermite polynomials of N(0, 1), for any tensor.

    Args:
        coefficients: a_0, a_1, ...

    Examples:
        >>> hermite_function([0.0, 0.0, 1.0])(torch.tensor([1.0, 2.0]))  # (x^2 - 1) / sqrt(2)
        tensor([0.0000, 2.1213])
    """
    if not len(coefficients):
        raise ValueError("an activation needs a Hermite coefficient at least")

    def function(x: Tensor) -> Tensor:
        before, h = torch.zeros_like(x), torch.ones_like(x)
        value = coefficients[0] * h
        for n, a in enumerate(coefficients[1:]):
            before, h = h, (x * h - math.sqrt(n) * before) / math.sqrt(n + 1)
            value = value + a * h
        return value

    return function
