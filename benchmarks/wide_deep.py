"""rk-wide-deep: the limit from a spline against layers one by one, and nothing to solve against a dense solve.

python benchmarks/wide_deep.py
"""

from __future__ import annotations

import math

import torch
from paired import interleave, process_seconds, report
from rk_kernels.depth import depth_map
from rk_kernels.linalg import cholesky, kernel_regression
from rk_kernels.series import Hermite
from rk_wide_deep.activations import optimal_coefficients
from rk_wide_deep.deep import log_deep, log_singular
from rk_wide_deep.kernel import DeepKernel
from rk_wide_deep.smoothers import gaps

DIMENSION, LAYERS, ROUNDS = 4, 60, 5


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    layers(1000)
    solve(2000)


def layers(n: int) -> None:
    """Infinitely many layers from a spline, against 60 of them, entry by entry."""
    series = Hermite(optimal_coefficients(DIMENSION))
    apart = gaps(torch.rand(n, DIMENSION + 1), torch.rand(n, DIMENSION + 1))
    limit, deep = log_singular(series, apart)[0], log_deep(series, apart, LAYERS)[0]
    torch.testing.assert_close(limit - LAYERS * DIMENSION / 2 * math.log(2), deep, atol=1e-6, rtol=0)
    timed = {
        f"{LAYERS} layers of cosines": lambda: process_seconds(lambda: depth_map(series, 1 - apart, LAYERS)),
        f"{LAYERS} layers in logarithms": lambda: process_seconds(lambda: log_deep(series, apart, LAYERS)),
        "the limit": lambda: process_seconds(lambda: log_singular(series, apart)),
    }
    found = interleave(timed, ROUNDS)
    report(f"the kernel of {n} x {n} inputs on S^{DIMENSION}", found, f"{LAYERS} layers of cosines")


def solve(n: int) -> None:
    """Coefficients where the rest of the matrix is negligible, with and without a factorisation."""
    x, y = torch.rand(n, DIMENSION + 1), torch.randn(n, 2, dtype=torch.float64)
    whole, identity = DeepKernel(depth=LAYERS, tolerance=0.0)(x), DeepKernel(depth=LAYERS)(x)
    torch.testing.assert_close(
        kernel_regression(identity, y), torch.cholesky_solve(y, cholesky(whole)), atol=1e-2, rtol=0
    )
    timed = {
        "a dense solve": lambda: process_seconds(lambda: kernel_regression(whole, y)),
        "nothing to solve": lambda: process_seconds(lambda: kernel_regression(identity, y)),
    }
    report(f"coefficients of {n} inputs", interleave(timed, ROUNDS), "a dense solve")


if __name__ == "__main__":
    main()
