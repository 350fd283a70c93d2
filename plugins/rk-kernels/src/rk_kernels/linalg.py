"""Solving with kernel matrices: regression, Gaussian process posteriors, ensembles of networks trained by descent."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

FIRST_JITTER, LAST_JITTER = 1e-12, 1e-4
"""Relative to the mean of the diagonal."""


def cholesky(matrix: Tensor) -> Tensor:
    """Returns the lower Cholesky factor of (..., n, n), with as little jitter on the diagonal as it takes.

    Jitter goes up tenfold from 1e-12 to 1e-4 of the mean diagonal, and only where the matrix needs it.

    Raises:
        ValueError: When that is not enough: the matrix is not a covariance, or has values that are not finite.
    """
    factor, info = torch.linalg.cholesky_ex(matrix)
    jitter = FIRST_JITTER
    while info.any():
        if jitter > LAST_JITTER * 1.5:
            raise ValueError("the kernel matrix must be positive definite and finite")
        size = jitter * matrix.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
        eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
        needs = (info > 0)[..., None, None]
        factor, info = torch.linalg.cholesky_ex(torch.where(needs, matrix + size * eye, matrix))
        jitter *= 10
    return factor


def with_ridge(matrix: Tensor, ridge: float | Tensor) -> Tensor:
    """Returns (..., n, n) with `ridge` added to the diagonal."""
    eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    return matrix + ridge * eye


def kernel_regression(k_train: Tensor, targets: Tensor, ridge: float = 0.0) -> Tensor:
    """Returns alpha = (K + ridge I)^-1 y, so that k(x, X) alpha is the prediction at x.

    Args:
        k_train: (n, n).
        targets: (n, outputs).
        ridge: Absolute; 0 interpolates.
    """
    diagonal = k_train.diagonal()
    if bool((diagonal > 0).all()) and int(k_train.count_nonzero()) == len(diagonal):  # nothing to solve
        return targets / (diagonal + ridge).unsqueeze(-1)
    return torch.cholesky_solve(targets, cholesky(with_ridge(k_train, ridge)))


def log_determinant(factor: Tensor) -> Tensor:
    """Returns log |C| of the Cholesky factor (..., n, n) of C."""
    return 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def whiten(factor: Tensor, right: Tensor) -> Tensor:
    """Returns L^-1 B for the Cholesky factor L."""
    return torch.linalg.solve_triangular(factor, right, upper=False)


@dataclass(frozen=True)
class Normal:
    """Means (n, outputs) and a covariance (n, n) that all outputs share."""

    mean: Tensor
    covariance: Tensor


def gp_posterior(k_train: Tensor, k_cross: Tensor, k_test: Tensor, targets: Tensor, noise: float = 0.0) -> Normal:
    """Returns the posterior of the noiseless function at the test inputs.

    Args:
        k_train: (n, n).
        k_cross: (m, n), test by training inputs.
        k_test: (m, m).
        targets: (n, outputs).
        noise: Variance of the observations.
    """
    factor = cholesky(with_ridge(k_train, noise))
    half = whiten(factor, k_cross.mT)
    return Normal(half.mT @ whiten(factor, targets), k_test - half.mT @ half)


def gradient_descent_ensemble(
    nngp_train: Tensor,
    nngp_cross: Tensor,
    nngp_test: Tensor,
    ntk_train: Tensor,
    ntk_cross: Tensor,
    targets: Tensor,
    time: float = math.inf,
) -> Normal:
    """Returns what infinitely wide networks answer, over their seeds, once gradient flow on squares has trained them.

    Lee et al. 2019, arXiv:1902.06720, Eq. 14 and Eq. 15: with Theta the NTK, K the NNGP and A = Theta_xX Theta^-1 (1 -
    exp(-t Theta)), the mean is A y and the covariance K_xx + A K A' - A K_Xx - K_xX A'.

    Args:
        nngp_train: (n, n).
        nngp_cross: (m, n), test by training inputs.
        nngp_test: (m, m).
        ntk_train: (n, n).
        ntk_cross: (m, n).
        targets: (n, outputs).
        time: Learning rate times steps, for the loss 0.5 sum (f - y)^2; infinity: to convergence.
    """
    if math.isinf(time):
        weights = torch.cholesky_solve(ntk_cross.mT, cholesky(ntk_train)).mT
    else:
        values, vectors = torch.linalg.eigh(ntk_train)
        # (1 - exp(-t lambda)) / lambda, which is t where lambda is 0
        rates = torch.where(values > 0, -torch.expm1(-time * values) / values.where(values > 0, 1.0), time)
        weights = (ntk_cross @ vectors * rates) @ vectors.mT
    crossed = weights @ nngp_cross.mT
    return Normal(weights @ targets, nngp_test + weights @ nngp_train @ weights.mT - crossed - crossed.mT)
