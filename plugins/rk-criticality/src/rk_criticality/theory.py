"""The book's recursions from layer to layer: kernel, susceptibilities, four-point vertex, tangent kernel.

Roberts, Yaida and Hanin 2022, "The Principles of Deep Learning Theory", arXiv:2106.10165. Pre-activations are
z^(1) = b + W x and z^(l+1) = b + W sigma(z^(l)) + gamma z^(l), with E[b^2] = C_b, E[W^2] = C_W / fan-in; <f>_K is the
mean of f(z) over z ~ N(0, K). All numbers are float64.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from rk_criticality.activations import FUNCTIONS, Function, Name, dual_of, slope

Class = Literal["scale-invariant", "zero", "half-stable", "none"]


@functools.cache
def _nodes() -> tuple[Tensor, Tensor]:
    """Returns nodes and weights of E f(u), u ~ N(0, 1), split at 0: exact to rounding where f has a kink there."""
    x, w = np.polynomial.legendre.leggauss(160)
    x, w = 6.0 * (x + 1.0), 6.0 * w  # up to 12 deviations
    w = w * np.exp(-np.square(x) / 2) / np.sqrt(2 * np.pi)
    return torch.from_numpy(np.concatenate([-x, x])), torch.from_numpy(np.concatenate([w, w]))


def expectation(function: Function, k: float) -> float:
    """Returns <function>_k."""
    u, weights = _nodes()
    return float((weights * function(k**0.5 * u)).sum())


def by_kernel(function: Function, k: float, order: int) -> float:
    """Returns a derivative of <function>_K by K, from the function alone, which need not be smooth.

    d/dK <f>_K = <f''>_K / 2, so that the derivative is <f He_m(z / sqrt(K))>_K / (2 K)^order, m twice the order.
    """
    u, weights = _nodes()
    hermite = torch.special.hermite_polynomial_he(u, 2 * order)
    return float((weights * function(k**0.5 * u) * hermite).sum()) / (2 * k) ** order


class Moments:
    """What the recursions need of an activation, as functions of the kernel K.

    Args:
        name: The activation.
    """

    def __init__(self, name: Name) -> None:
        self.name = name
        self.sigma = FUNCTIONS[name]

    def square(self, z: Tensor) -> Tensor:
        """sigma(z)^2."""
        return self.sigma(z).square()

    def g(self, k: float, order: int = 0) -> float:
        """<sigma^2>_K, or its derivative by K: the kernel's map is C_b + C_W g (Ch. 4), chi_par C_W g' (Sec. 5.3)."""
        return by_kernel(self.square, k, order)

    def slopes(self, k: float) -> float:
        """<sigma'^2>_K; chi_perp = C_W slopes (Sec. 5.3)."""
        return expectation(lambda z: slope(self.name, z).square(), k)

    def h(self, k: float) -> float:
        """d<sigma'^2>_K / 2dK: what bends distances, in units of C_W (Sec. 5.3)."""
        return by_kernel(lambda z: slope(self.name, z).square(), k, 1) / 2

    def skew(self, k: float) -> float:
        """<z sigma^2>_K: how a unit's sign shifts the next kernel; 0 for odd and even activations."""
        return expectation(lambda z: z * self.square(z), k)

    def bend(self, k: float) -> float:
        """<(sigma^2)'''>_K = <sigma^2 (z^3 - 3 K z)>_K / K^3."""
        return expectation(lambda z: self.square(z) * (z**3 - 3 * k * z), k) / k**3

    def spread(self, k: float, order: int = 0) -> float:
        """<sigma^4>_K - <sigma^2>_K^2, or its derivative by K: the non-Gaussianity that a layer adds, over C_W^2."""
        square = [self.g(k, i) for i in range(order + 1)]
        product = sum(math.comb(order, i) * square[i] * square[order - i] for i in range(order + 1))
        return by_kernel(lambda z: self.sigma(z) ** 4, k, order) - product

    def third(self, k: float) -> float:
        """The third cumulant of sigma(z)^2 over z ~ N(0, K)."""
        g = self.g(k)
        return expectation(lambda z: (self.square(z) - g) ** 3, k)


@dataclass(frozen=True)
class Critical:
    """Where an activation neither amplifies nor damps.

    Attributes:
        kind: `scale-invariant`: any kernel stays (Sec. 5.2). `zero`: the kernel falls to 0 by a power of the depth
            (Sec. 5.3.3). `half-stable`: kernels below K* approach it, those above escape (Sec. 5.3.4). `none`.
        c_b: Variance of the biases.
        c_w: Variance of the weights, times fan-in.
        k: The fixed point; 1 where any is one.
        nu: V / (n K^2) grows by nu / n each layer: the non-Gaussianity (asymptotic where `kind` is `zero`).
    """

    kind: Class
    c_b: float = 0.0
    c_w: float = 0.0
    k: float = 0.0
    nu: float | None = None

    def best_ratio(self, num_outputs: int = 1) -> float | None:
        """Returns the best depth / width, 4 / ((20 + 3 outputs) nu) (App. A): deeper is chaotic, wider a kernel."""
        return None if not self.nu else 4 / ((20 + 3 * num_outputs) * self.nu)


_GRID = tuple(10 ** (e / 8) for e in range(-32, 25))  # 1e-4 to 1e3
_SMALL = 1e-14


@functools.cache
def critical(name: Name) -> Critical:
    """Returns the critical point: chi_par = chi_perp = 1 at K* = C_b + C_W g(K*), C_b >= 0 (Sec. 5.3)."""
    m = Moments(name)
    gaps = [1 - m.g(k, 1) / m.slopes(k) for k in _GRID]
    if max(map(abs, gaps)) < 1e-9:
        return _at(m, "scale-invariant", 1.0)
    if abs(float(m.sigma(torch.zeros((), dtype=torch.float64)))) < 1e-12:
        rate = m.slopes(_SMALL)
        if m.g(_GRID[0]) < rate * _GRID[0]:  # the kernel falls
            smooth = abs(float(slope(name, torch.tensor([-1e-7, 1e-7], dtype=torch.float64)).diff())) < 1e-5
            curved = abs(gaps[0]) < _GRID[0] ** 0.75  # the gap is ~ K where sigma is smooth, ~ sqrt(K) where it bends
            return Critical("zero", 0.0, 1 / rate, 0.0, 2 / 3 if smooth and curved else None)
    for (low, a), (high, b) in itertools.pairwise(zip(_GRID, gaps, strict=True)):
        if a * b < 0:
            found = _at(m, "half-stable", _bisected(m, low, high))
            if found.c_b >= 0:
                return found
    return Critical("none")


def _at(m: Moments, kind: Class, k: float) -> Critical:
    c_w = 1 / m.slopes(k)
    c_b = k - c_w * m.g(k)
    return Critical(kind, 0.0 if abs(c_b) < 1e-9 else c_b, c_w, k, c_w**2 * m.spread(k) / k**2)


def _bisected(m: Moments, low: float, high: float) -> float:
    rising = m.slopes(low) < m.g(low, 1)
    for _ in range(100):
        k = (low + high) / 2
        low, high = (k, high) if (m.slopes(k) < m.g(k, 1)) == rising else (low, k)
    return (low + high) / 2


@dataclass(frozen=True)
class Layer:
    """Predictions for one layer.

    Attributes:
        k: The kernel, of infinite width.
        chi_par: Growth of a change of the norm into this layer.
        chi_perp: Growth of a small distance into this layer, and of a gradient out of it.
        v: V^(l) / n, the covariance of z_i^2 and z_j^2 over initialisations, divided by K^2.
        mean: K + G1 / n: the kernel with its first correction of finite width.
        theta: The tangent kernel with lambda_b = lambda_W = 1.
    """

    k: float
    chi_par: float
    chi_perp: float
    v: float
    mean: float
    theta: float


def flow(
    name: Name, c_b: float, c_w: float, k: float, depth: int, width: float, gamma: float = 0.0, theta: float = 0.0
) -> list[Layer]:
    """Returns the layers 1 to `depth` of networks of equal widths, from the kernel `k` of the first.

    K <- C_b + C_W g(K) + gamma^2 K; V <- chi_par^2 V + C_W^2 spread;
    G1 <- chi_par G1 + C_W g'' V / 2 (Ch. 4); Theta <- 1 + g(K) + chi_perp Theta (Ch. 8, with lambda = 1).
    With skips, gamma^2 is part of both chi, V grows by 4 gamma^2 C_W g' K^2 more (App. B), and, our derivation, by what
    T = n Cov(z_i, z_j^2) adds: a skip keeps the signs of units, and signs shift the next kernel unless sigma is odd.

    Args:
        name: The activation.
        c_b: Variance of the biases.
        c_w: Variance of the weights times fan-in.
        k: The first kernel.
        depth: Layers.
        width: Units of each layer.
        gamma: Weight of a skip around each layer but the first.
        theta: The first tangent kernel, lambda_b + lambda_W |x|^2 / features.
    """
    m, v, t, g1 = Moments(name), 0.0, 0.0, 0.0
    skip = gamma**2
    layers = [Layer(k, 1.0, 1.0, 0.0, k, theta)]
    for _ in range(depth - 1):
        plain = c_w * m.g(k, 1)
        par, perp = plain + skip, c_w * m.slopes(k) + skip
        skew = c_w * m.skew(k)
        g1 = par * g1 + c_w * (m.g(k, 2) * v + m.bend(k) * t) / 2
        v = par**2 * v + c_w**2 * m.spread(k) + 4 * skip * plain * k**2 + 2 * t * skew / k * par
        t = gamma * (par * t + skew)
        theta = 1 + m.g(k) + perp * theta
        k = c_b + c_w * m.g(k) + skip * k
        layers.append(Layer(k, par, perp, v / (width * k**2), k + g1 / width, theta))
    return layers


def next_order(name: Name, c_b: float, c_w: float, k: float, depth: int, width: float) -> list[tuple[float, float]]:
    """Returns E z^2 and V / (n K^2) of the layers 1 to `depth` with the terms of order 1 / n^2, which `flow` lacks.

    Our derivation (EQUATIONS.md): without skips, the variance of a layer's units given the layer before is a Markov
    chain, and Cov(z_i^2, z_j^2) is the variance of it; here are its first moments. Of scale-invariant activations the
    result is exact at any width: V / (n K^2) = (1 + nu / n)^(l-1) - 1.

    Args:
        name: The activation.
        c_b: Variance of the biases.
        c_w: Variance of the weights times fan-in.
        k: The first kernel.
        depth: Layers.
        width: Units of each layer.
    """
    m = Moments(name)
    first = second = third = 0.0  # E d, E d^2, E d^3 with d the chain less K
    found = [(k, 0.0)]
    for _ in range(depth - 1):
        f1, f2, f3, f4 = (c_w * m.g(k, order) for order in range(1, 5))
        w, w1, w2 = (c_w**2 * m.spread(k, order) / width for order in range(3))
        fourth = 3 * second**2
        first, second, third = (
            f1 * first + f2 * second / 2 + f3 * third / 6 + f4 * fourth / 24,
            f1**2 * second + f1 * f2 * third + (f2**2 / 4 + f1 * f3 / 3) * fourth + w + w1 * first + w2 * second / 2,
            f1**3 * third
            + 3 * f1**2 * f2 * fourth / 2
            + 3 * (f1 * w * first + (f1 * w1 + f2 * w / 2) * second)
            + c_w**3 * m.third(k) / width**2,
        )
        k = c_b + c_w * m.g(k)
        found.append((k + first, (second - first**2) / (k + first) ** 2))
    return found


def cosines(name: Name, c_b: float, c_w: float, k: float, cosine: float, depth: int, gamma: float = 0.0) -> list[float]:
    """Returns the cosine of the pre-activations of two inputs of equal kernels at layers 1 to `depth` (Sec. 5.5)."""
    dual = dual_of(name)
    same, other = (torch.tensor(x, dtype=torch.float64) for x in (k, cosine * k))
    found = [cosine]
    for _ in range(depth - 1):
        other = c_b + c_w * dual.pair(same, other, same)[0] + gamma**2 * other
        same = c_b + c_w * dual.diagonal(same)[0] + gamma**2 * same
        found.append(float(other / same))
    return found


def residual_gain(name: Name, gamma: float) -> Critical:
    """Returns the critical point with skips gamma of a scale-invariant activation: C_W = (1 - gamma^2) / A_2 (App. B).

    Its nu is the growth in App. B, which lacks what `flow` adds for activations that are not odd.

    Raises:
        ValueError: When the activation is of another class, or gamma is not in [0, 1).
    """
    plain = critical(name)
    if plain.kind != "scale-invariant" or plain.nu is None:
        raise ValueError(f"skips are predicted for scale-invariant activations, got {name}")
    if not 0 <= gamma < 1:
        raise ValueError(f"gamma must be >= 0 and < 1, got {gamma}")
    left = 1 - gamma**2
    return Critical(plain.kind, 0.0, plain.c_w * left, 1.0, left * (left * plain.nu + 4 * gamma**2))


def rates(name: Name, depth: int) -> list[tuple[float, float]]:
    """Returns (lambda_b, lambda_W) of the layers 1 to `depth` by which all contribute alike to the tangent kernel.

    The equivalence principle (Sec. 9.4): 1 / L for scale-invariant activations; 1 / l and a constant for odd ones of
    class `zero`. At a fixed point K* > 0 the kernel stays and chi_perp is 1, so that 1 / L holds there too. The rate of
    a weight is lambda_W / fan-in.

    Raises:
        ValueError: When the class has no such rates here.
    """
    kind = critical(name).kind
    if kind in ("scale-invariant", "half-stable"):
        return [(1 / depth, 1 / depth)] * depth
    if name in ("tanh", "sin", "erf"):
        return [(1 / layer, 1.0) for layer in range(1, depth + 1)]
    raise ValueError(f"there are no rates for {name}: they are known at critical points, except those of elu and selu")


def contributions(name: Name, chosen: Sequence[tuple[float, float]]) -> list[float]:
    """Returns what each layer adds to the tangent kernel of the last one, at the critical point (Ch. 8).

    lambda_b + lambda_W <sigma^2> of a layer, times chi_perp of all layers behind it. K begins at K*, or 1.

    Args:
        name: The activation.
        chosen: (lambda_b, lambda_W) of each layer.
    """
    m, point = Moments(name), critical(name)
    k = point.k or 1.0
    inside = (k - point.c_b) / point.c_w  # |x|^2 / features, with which K begins
    found: list[float] = []
    for bias, weight in chosen:
        if found:
            growth, inside = point.c_w * m.slopes(k), m.g(k)
            found = [growth * value for value in found]
            k = point.c_b + point.c_w * inside
        found.append(bias + weight * inside)
    return found
