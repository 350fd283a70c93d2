"""The targets h = g(p(x)): polynomials p of Gaussian inputs, and links g between them and the target."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

LinkName = Literal["z3", "he3plus1", "tanh", "polynomial"]
Form = Literal["separable", "quadratic"]
Link = Callable[[Tensor], Tensor]
NODES = 200
"""Of the quadrature over a normal distribution."""


def hermite(x: Tensor, degree: int) -> Tensor:
    """Returns the Hermite polynomial of degree 1, 2 or 3 of each number, of unit variance for x ~ N(0, 1)."""
    match degree:
        case 1:
            return x
        case 2:
            return (x.square() - 1) / math.sqrt(2)
    return (x**3 - 3 * x) / math.sqrt(6)


def separable(x: Float[Tensor, "n d"], signs: Float[Tensor, "d"], degree: int) -> Float[Tensor, "n"]:
    """Returns p(x) = sum_i lambda_i h_k(x_i) with lambda_i = +-1/sqrt(d): Sec. 5, of unit variance.

    Args:
        x: The inputs.
        signs: +1 or -1.
        degree: k.
    """
    return hermite(x, degree) @ (signs / math.sqrt(len(signs)))


def quadratic(x: Float[Tensor, "n d"], matrix: Float[Tensor, "d d"]) -> Float[Tensor, "n"]:
    """Returns p(x) = x'Ax - tr A, where A is the symmetric part of `matrix`, scaled to |A|_F = 1/sqrt(2)."""
    symmetric = matrix + matrix.mT
    a = symmetric / (symmetric.norm() * math.sqrt(2))
    return ((x @ a) * x).sum(1) - a.trace()


def link_of(name: LinkName, coefficients: Sequence[float] = ()) -> Link:
    """Returns the link g, of unit variance for a normal p where it is not a polynomial of your own.

    Args:
        name: z3: z^3 / sqrt(15); he3plus1: (h_3(z) + z) / sqrt(2); tanh: tanh(3z); polynomial.
        coefficients: Of the polynomial, from that of degree 0.
    """
    match name:
        case "z3":
            return lambda z: z**3 / math.sqrt(15)
        case "he3plus1":
            return lambda z: (hermite(z, 3) + z) / math.sqrt(2)
        case "tanh":
            return lambda z: torch.tanh(3 * z)
    return lambda z: sum((c * z**k for k, c in enumerate(coefficients)), torch.zeros_like(z))


def linear_component(link: Link) -> float:
    """Returns |E g'(z)| / sd g(z) for z ~ N(0, 1): the correlation of g(p) with p, where stage 1 finds p.

    By Stein's lemma E g'(z) = E z g(z). 0 for a link without any variance.

    Examples:
        >>> from rk_hierarchical_polynomials.targets import link_of
        >>> round(linear_component(link_of("z3")), 3)
        0.775
        >>> round(linear_component(link_of("polynomial", [-1, 0, 1])), 3)
        0.0
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    z, w = torch.from_numpy(nodes), torch.from_numpy(weights / weights.sum())
    g = link(z)
    variance = float(w @ (g - w @ g).square())
    return abs(float(w @ (z * g))) / math.sqrt(variance) if variance > 0 else 0.0
