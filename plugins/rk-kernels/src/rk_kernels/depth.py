"""One normalised dual, applied repeatedly: the effect of depth on the cosine of two inputs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rk_kernels.covariance import Kind
from rk_kernels.duals import Dual
from rk_kernels.series import Hermite


def depth_map(dual: Dual, cosines: Tensor, depth: int, kind: Kind = "nngp", *, normalised: bool = True) -> Tensor:
    """Returns the kernel of a network of `depth` layers on unit vectors, from their cosines alone.

    S_0 = T_0 = c, S_{l+1} = T(S_l), T_{l+1} = S_{l+1} + slope(S_l) T_l: O(n^2 depth), and no product of matrices but
    the first.

    Args:
        dual: Of the activation.
        cosines: Of any shape, in [-1, 1].
        depth: Layers.
        kind: S, the NNGP, or T, the NTK.
        normalised: Divides the dual by its value at cosine 1, as if the activation had E[phi(u)^2] = 1.

    Examples:
        >>> from rk_kernels.duals import Relu
        >>> depth_map(Relu(), torch.tensor([0.0, 1.0]), depth=1)  # 1 / pi and 1
        tensor([0.3183, 1.0000])
    """
    one = torch.ones((), dtype=cosines.dtype, device=cosines.device)
    gain = dual.diagonal(one)[0] if normalised else one
    nngp = ntk = cosines
    for _ in range(depth):
        nngp, slope = (t / gain for t in dual.pair(one, nngp, one))
        if kind == "ntk":
            ntk = nngp + slope * ntk
    return nngp if kind == "nngp" else ntk


def log_depth_map(dual: Hermite, cosines: Tensor, depth: int) -> tuple[Tensor, Tensor]:
    """Returns (log |S_L|, sign of S_L) of the normalised dual: where S_L itself is far below the smallest float.

    Near 0, a dual without constant term goes down as its lowest power: z^2 applied 100 times is z^(2^100), which is 0
    in any floating point. log |S| follows log |T(z)| = m log |z| + log |T(z) / z^m|, which keeps every digit.

    Args:
        dual: Its series; without constant term, or there is nothing that underflows.
        cosines: Of any shape, in [-1, 1].
        depth: Layers.
    """
    total = sum(dual.squares)
    m = dual.lowest
    rest = [a / total for a in dual.squares[m:]]
    logs, signs = cosines.abs().log(), cosines.sign()
    for _ in range(depth):
        z = signs * logs.exp()
        factor = torch.zeros_like(z)
        for a in reversed(rest):
            factor = factor * z + a
        signs = signs**m * factor.sign()
        logs = m * logs + factor.abs().log()
    return logs, signs


def moments(dual: Dual) -> tuple[float, float, float]:
    """Returns (A, a, b) of the normalised dual: T(0), T'(0) and T'(1), which decide what depth does.

    b is how fast near inputs part, a how fast far ones forget each other, sqrt(A) what all outputs share.
    """
    one, zero = torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    gain, b = dual.diagonal(one)
    at_zero, a = dual.pair(one, zero, one)
    if not math.isfinite(float(gain)):
        return math.nan, math.nan, math.nan
    return float(at_zero / gain), float(a / gain), float(b / gain)
