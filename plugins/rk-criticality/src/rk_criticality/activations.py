"""The activations that the theory knows: by name, and found again in what a network computes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from rk_kernels.duals import Dual, Erf, Gelu, LeakyRelu, Linear, Relu, Sin
from rk_kernels.series import Numerical
from torch import Tensor
from torch.nn import functional as F

Name = Literal[
    "linear", "relu", "leaky-relu", "tanh", "sin", "erf", "gelu", "gelu-tanh", "silu", "mish", "elu", "selu",
    "sigmoid", "softplus",
]  # fmt: skip
Function = Callable[[Tensor], Tensor]

FUNCTIONS: dict[Name, Function] = {
    "linear": lambda z: z,
    "relu": torch.relu,
    "leaky-relu": F.leaky_relu,
    "tanh": torch.tanh,
    "sin": torch.sin,
    "erf": lambda z: torch.erf(z * math.sqrt(math.pi) / 2),
    "gelu": F.gelu,
    "gelu-tanh": lambda z: F.gelu(z, approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "elu": F.elu,
    "selu": F.selu,
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
}
"""erf has the slope 1 at 0, as in the book: erf(sqrt(pi) z / 2)."""
_DUALS: dict[Name, Dual] = {
    "linear": Linear(),
    "relu": Relu(),
    "leaky-relu": LeakyRelu(0.01),
    "sin": Sin(),
    "gelu": Gelu(),
}


def slope(name: Name, z: Tensor) -> Tensor:
    """Returns the derivative of an activation at `z`."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        return torch.autograd.grad(FUNCTIONS[name](z).sum(), z)[0]


class _ScaledErf:
    """The dual of erf(sqrt(pi) z / 2): that of erf at variances times pi / 4."""

    def pair(self, q11: Tensor, q12: Tensor, q22: Tensor) -> tuple[Tensor, Tensor]:
        value, rate = Erf().pair(*(math.pi / 4 * q for q in (q11, q12, q22)))
        return value, math.pi / 4 * rate

    def diagonal(self, q: Tensor) -> tuple[Tensor, Tensor]:
        return self.pair(q, q, q)


def dual_of(name: Name) -> Dual:
    """Returns E[phi(u) phi(v)] and its slope: in closed form where rk-kernels has one, else by quadrature."""
    return _ScaledErf() if name == "erf" else _DUALS.get(name) or Numerical(FUNCTIONS[name])


def recognised(before: Tensor, after: Tensor) -> Name | None:
    """Returns the activation with `after` = phi(`before`), entry by entry; None where it is none of `FUNCTIONS`.

    It looks at numbers, so that an activation is found whether it is a module or a function, and reshaping does not
    matter. Anything between two layers that is not elementwise (pooling, attention, a norm, a skip) is none.
    """
    if before.numel() != after.numel() or not before.numel():
        return None
    z, a = before.detach().flatten().double(), after.detach().flatten().double()
    scale = float(a.abs().max()) or 1.0
    fits = {name: float((f(z) - a).abs().max()) for name, f in FUNCTIONS.items()}
    best = min(fits, key=lambda name: fits[name])
    return best if fits[best] <= 1e-5 * scale else None
