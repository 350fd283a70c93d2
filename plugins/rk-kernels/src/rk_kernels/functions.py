"""Activations as functions, by the names that recipes give them: those of the duals in `rk_kernels.activations`."""

from __future__ import annotations

from collections.abc import Callable

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

__all__ = ["Activation", "function_of"]


def function_of(activation: Activation) -> Callable[[Tensor], Tensor]:
    """Returns the activation of that name, whose dual is `rk_kernels.activations.dual_of`.

    Examples:
        >>> function_of("erf")(torch.zeros(2))
        tensor([0., 0.])
    """
    return _FUNCTIONS[activation]
