"""The same kernels one entry at a time, written as the formulas read: what the fast ones are compared with."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def relu_pair(q11: float, q12: float, q22: float) -> tuple[float, float]:
    """Returns (T, slope) of relu by the arc cosine (Cho and Saul 2009)."""
    norm = math.sqrt(q11 * q22)
    angle = math.acos(max(-1.0, min(1.0, q12 / norm)))
    value = norm * (math.sin(angle) + (math.pi - angle) * math.cos(angle)) / (2 * math.pi)
    return value, (math.pi - angle) / (2 * math.pi)


def mlp_kernel(
    x1: Tensor, x2: Tensor, depth: int, w_std: float, b_std: float, last_w_std: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Returns NNGP and NTK, (n1, n2) each, of a relu network with `depth` hidden layers, entry by entry."""
    nngp, ntk = torch.zeros(2, len(x1), len(x2), dtype=torch.float64)
    for i, a in enumerate(x1.tolist()):
        for j, b in enumerate(x2.tolist()):
            nngp[i, j], ntk[i, j] = _entry(a, b, depth, w_std, b_std, last_w_std)
    return nngp, ntk


def _entry(
    a: Sequence[float], b: Sequence[float], depth: int, w_std: float, b_std: float, last_w_std: float
) -> tuple[float, float]:
    q11, q12, q22 = (sum(x * y for x, y in zip(u, v, strict=True)) / len(a) for u, v in ((a, a), (a, b), (b, b)))
    ntk = 0.0
    for _ in range(depth):
        q11, q12, q22 = (w_std**2 * q + b_std**2 for q in (q11, q12, q22))
        ntk = q12 + w_std**2 * ntk
        q12, slope = relu_pair(q11, q12, q22)
        q11, q22, ntk = q11 / 2, q22 / 2, ntk * slope
    q12 = last_w_std**2 * q12
    return q12, q12 + last_w_std**2 * ntk


def hierarchical_ntk(x: Sequence[float], y: Sequence[float], filter_sizes: Sequence[int]) -> float:
    """Returns the hierarchical NTK of two inputs by the recursion over the tree of patches."""
    size = filter_sizes[0]
    cosines = []
    for start in range(0, len(x), size):
        u, v = x[start : start + size], y[start : start + size]
        dot = sum(a * b for a, b in zip(u, v, strict=True))
        cosines.append(dot / math.hypot(*u) / math.hypot(*v))
    tangents = list(cosines)
    for group in (*filter_sizes[1:], None):
        pairs = [(2 * r, 2 * s) for r, s in (relu_pair(1.0, c, 1.0) for c in cosines)]
        tangents = [k0 * n + k1 for (k1, k0), n in zip(pairs, tangents, strict=True)]
        cosines = [k1 for k1, _ in pairs]
        step = group or len(cosines)
        cosines, tangents = ([sum(q[i : i + step]) / step for i in range(0, len(q), step)] for q in (cosines, tangents))
    return tangents[0]
