"""Duals of activations without a closed form: Hermite series, and Gauss-Hermite quadrature of any function."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from rk_kernels.duals import Pair, safe_sqrt


class Hermite:
    """phi = sum_n a_n h_n, with h_n the orthonormal Hermite polynomials of N(0, 1).

    For pre-activations of variance 1 alone, where T = sum_n a_n^2 c^n (Mehler's formula): inputs on the unit sphere and
    sum a_n^2 = 1 keep it there. Other variances are answered as if they were 1.

    Args:
        coefficients: a_0, a_1, ...
    """

    def __init__(self, coefficients: Sequence[float]) -> None:
        if not any(coefficients):
            raise ValueError("an activation whose Hermite coefficients are all zero is zero")
        self.squares = [float(a) ** 2 for a in coefficients]

    @property
    def lowest(self) -> int:
        """The degree of the lowest term that is not zero."""
        return next(n for n, a in enumerate(self.squares) if a)

    def pair(self, q11: Tensor, q12: Tensor, q22: Tensor) -> Pair:
        slopes = [n * a for n, a in enumerate(self.squares)][1:]
        return _horner(self.squares, q12), _horner(slopes, q12)

    def diagonal(self, q: Tensor) -> Pair:
        return self.pair(q, q, q)


def _horner(coefficients: Sequence[float], x: Tensor) -> Tensor:
    value = torch.zeros_like(x)
    for a in reversed(coefficients):
        value = value * x + a
    return value


def hermite_coefficients(function: Callable[[Tensor], Tensor], degree: int, nodes: int = 200) -> list[float]:
    """Returns a_0 ... a_degree of `function`, E[phi(u) h_n(u)] for u ~ N(0, 1), by quadrature.

    Args:
        function: phi, on float64 tensors, elementwise.
        degree: Of the last coefficient.
        nodes: Of the quadrature; polynomials up to degree 2 nodes - 1 are exact.
    """
    x, weights = gauss_hermite(nodes)
    before, h = torch.zeros_like(x), torch.ones_like(x)
    phi, found = function(x), []
    for n in range(degree + 1):
        found.append(float((weights * phi * h).sum()))
        before, h = h, (x * h - math.sqrt(n) * before) / math.sqrt(n + 1)
    return found


class Numerical:
    """The dual of any function by Gauss-Hermite quadrature: a sum over nodes^2 points for each entry.

    Exact to rounding for smooth functions; a kink, as relu's, costs about 1e-3.

    Args:
        function: phi, elementwise on tensors.
        derivative: phi'; None lets autograd find it.
        nodes: Per dimension.
    """

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        derivative: Callable[[Tensor], Tensor] | None = None,
        nodes: int = 120,
    ) -> None:
        self.function = function
        self.derivative = derivative or functools.partial(_slope, function)
        self.nodes = nodes

    def pair(self, q11: Tensor, q12: Tensor, q22: Tensor) -> Pair:
        x, weights = (t.to(q12) for t in gauss_hermite(self.nodes))
        q11, q12, q22 = torch.broadcast_tensors(q11, q12, q22)
        s1 = safe_sqrt(q11)
        # v = b x + c y with x, y independent: Cholesky of the 2 x 2 covariance
        b = q12 / s1.where(s1 > 0, 1.0)
        c = safe_sqrt(q22 - b.square())
        value, slope = torch.zeros_like(q12), torch.zeros_like(q12)
        for node, weight in zip(x, weights, strict=True):  # one node of x at a time bounds the memory
            u, v = s1 * node, (b * node).unsqueeze(-1) + c.unsqueeze(-1) * x
            value = value + weight * self.function(u) * (self.function(v) * weights).sum(-1)
            slope = slope + weight * self.derivative(u) * (self.derivative(v) * weights).sum(-1)
        return value, slope

    def diagonal(self, q: Tensor) -> Pair:
        x, weights = (t.to(q) for t in gauss_hermite(self.nodes))
        u = safe_sqrt(q).unsqueeze(-1) * x
        return (self.function(u).square() * weights).sum(-1), (self.derivative(u).square() * weights).sum(-1)


def _slope(function: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """Returns the derivative at `z`, itself differentiable where a gradient is needed."""
    asked = torch.is_grad_enabled() and z.requires_grad
    with torch.enable_grad():
        z = z if asked else z.detach().requires_grad_()
        return torch.autograd.grad(function(z).sum(), z, create_graph=asked)[0]


@functools.cache
def gauss_hermite(nodes: int) -> tuple[Tensor, Tensor]:
    """Returns nodes and weights, float64, with sum_i w_i f(x_i) = E f(u) for u ~ N(0, 1)."""
    x, weights = np.polynomial.hermite_e.hermegauss(nodes)
    return torch.from_numpy(x), torch.from_numpy(weights / weights.sum())
