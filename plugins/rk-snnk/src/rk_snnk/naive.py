"""Naive twins: each equation with the complex numbers and sums of the paper, one random feature after the other."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor


def naive_universal(
    x: Tensor, w: Tensor, b: float, draws: Tensor, activation: Literal["cos", "sin"], damping: float = 0.0
) -> complex:
    """Returns Psi(w, b) . Phi(x) of universal random features, with xi and -xi for each vector g among `draws`.

    tau is 1/2 at both of xi = 1/(2 pi) and xi = -1/(2 pi) for the cosine, 1/(2i) and -1/(2i) for the sine; p is 1/2.
    """
    total = 0j
    stretch = math.sqrt(1 + 4 * damping)
    for g in draws:
        weight = (1 + 4 * damping) ** (len(x) / 4) * math.exp(-damping * float(g @ g))
        for xi in (1 / (2 * math.pi), -1 / (2 * math.pi)):
            tau = 0.5 if activation == "cos" else (0.5 if xi > 0 else -0.5) / 1j
            rho, eta = 2j * math.pi * xi, 1.0
            a, big_b = 1.0, tau / 0.5 * cmath.exp(2j * math.pi * xi * b)
            phi = a * weight * cmath.exp(rho * stretch * float(g @ x) - rho**2 * float(x @ x) / 2)
            psi = big_b * weight * cmath.exp(eta * stretch * float(g @ w) - eta**2 * float(w @ w) / 2)
            total += phi * psi / 2 / len(draws)
    return total


def naive_relu(x: Tensor, w: Tensor, draws: Tensor) -> float:
    """Returns the mean of max(g . x, 0) max(g . w, 0) over the vectors g among `draws`."""
    return sum(max(float(g @ x), 0) * max(float(g @ w), 0) for g in draws) / len(draws)


def naive_stack(
    x: Tensor,
    layers: Sequence[tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor], Tensor]],
) -> Tensor:
    """Returns y_L of y_k = Psi_k(W_k) Phi_k(y_{k-1}) for one input, without bundling: (Phi_k, Psi_k, W_k) of each."""
    for phi, psi, weight in layers:
        image = phi(x)
        x = torch.stack([psi(row) @ image for row in weight])
    return x
