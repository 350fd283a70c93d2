"""Activations and their duals, by name, by Hermite coefficients or by import; those that depth makes optimal."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from rk_kernels.activations import dual_of
from rk_kernels.duals import Dual
from rk_kernels.series import Hermite, hermite_coefficients
from scipy.optimize import brentq
from torch import Tensor
from torch.nn import functional

from rk.errors import suggest

DEGREE = 100
"""Of the series of functions: of tanh, the slowest here, the terms beyond it have a share below 1e-12."""
ZERO = 1e-10
"""Coefficients below it are rounding."""

Closed = Literal["relu", "leaky-relu", "gelu", "cos"]
_CLOSED: tuple[Closed, ...] = get_args(Closed)
_SERIES: dict[str, Callable[[Tensor], Tensor]] = {
    "erf": torch.erf,
    "sin": torch.sin,
    "tanh": torch.tanh,
    "silu": functional.silu,
    "sigmoid": torch.sigmoid,
    "softplus": functional.softplus,
    "linear": lambda x: x,
}
NAMES = ("opt", "opt-sine", *_CLOSED, *_SERIES)


def dual(activation: str | Sequence[float], dimension: int) -> Dual:
    """Returns the dual for pre-activations of variance 1, which stay so in the normalised networks of the paper.

    Args:
        activation: One of `NAMES`; Hermite coefficients a_0, a_1, ...; or ``module:name`` of an elementwise function or
            a class of modules, whose Hermite series is taken up to degree 100 (a kink costs some percent of b).
        dimension: d of the sphere; for ``opt`` and ``opt-sine``.

    Raises:
        ValueError: When there is no such activation.
    """
    if not isinstance(activation, str):
        return Hermite(activation)
    if activation == "opt":
        return Hermite(optimal_coefficients(dimension))
    if activation == "opt-sine":
        return Hermite(sine_coefficients(dimension))
    for name in _CLOSED:
        if name == activation:
            return dual_of(name)
    function = _imported(activation) if ":" in activation else _SERIES.get(activation)
    if function is None:
        raise ValueError(f"there is no activation {activation!r}: {suggest(activation, NAMES, 'activations')}")
    found = hermite_coefficients(function, DEGREE)
    return Hermite([0.0 if abs(a) < ZERO else a for a in found])


def _imported(name: str) -> Callable[[Tensor], Tensor]:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
        function: Callable[[Tensor], Tensor] = found() if isinstance(found, type) else found
        answer = function(torch.zeros(2, dtype=torch.float64))
    except Exception as error:  # whatever the user's module raises
        raise ValueError(f"{name} must be an elementwise function, or a class of such modules: {error}") from error
    if not isinstance(answer, Tensor) or answer.shape != (2,):
        raise ValueError(f"{name} must return a tensor of the shape that it is given")
    return lambda x: function(x).detach()


def optimal_coefficients(dimension: int) -> list[float]:
    """Returns Hermite coefficients of the polynomial whose infinitely deep network is consistent on the sphere S^d.

    That is alpha = d, or a = b^(-d/2), with b = 4 for d = 1 and b = 2 beyond.

    Examples:
        >>> [round(a, 3) for a in optimal_coefficients(4)]
        [0.0, 0.5, 0.707, 0.5]
    """
    if dimension < 1:
        raise ValueError(f"the dimension of the sphere must be >= 1, got {dimension}")
    if dimension == 1:
        return [0.0, math.sqrt(0.5), *[0.0] * 5, math.sqrt(0.5)]
    end = 2 ** (-dimension / 4)
    return [0.0, end, math.sqrt(max(0.0, 1 - 2 * end**2)), end]


def sine_coefficients(dimension: int) -> list[float]:
    """Returns Hermite coefficients of sin(sqrt(c) u), normalised, with the c for which alpha = d.

    Its dual is sinh(c z) / sinh(c), so that a = c / sinh(c) and b = c coth(c): c solves a = b^(-d/2), which it does
    for d >= 2 alone.
    """
    if dimension < 2:
        raise ValueError(f"opt-sine needs a sphere of dimension >= 2, got {dimension}")
    c = sine_frequency(dimension)
    coefficients = [0.0]
    for n in range(1, int(4 * c) + 60):
        # c^n / (n! sinh c), whose logarithm does not overflow
        log = n * math.log(c) - math.lgamma(n + 1) - _log_sinh(c)
        coefficients.append(math.exp(log / 2) * (1, -1)[n // 2 % 2] if n % 2 else 0.0)
    return coefficients


def sine_frequency(dimension: int) -> float:
    """Returns c with c / sinh(c) = (c coth c)^(-d/2)."""

    def excess(c: float) -> float:
        return math.log(c) - _log_sinh(c) + dimension / 2 * math.log(c / math.tanh(c))

    return float(brentq(excess, 1.0, 10.0 + 2 * dimension * math.log(dimension), xtol=1e-13))


def _log_sinh(c: float) -> float:
    return c + math.log(-math.expm1(-2 * c) / 2)
