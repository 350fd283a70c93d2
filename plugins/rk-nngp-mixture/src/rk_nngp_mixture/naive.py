"""The same by the letter of the definitions: draws of the scale, dense quadrature, inverses. Slow, and plain to see."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def log_integral(log_density: Callable[[Tensor], Tensor], quadratic: float, count: int, nodes: int = 200_001) -> float:
    """Returns log of the integral of H(s) (2 pi s)^(-n/2) exp(-D / 2s) ds on a fixed dense grid of log s.

    Args:
        log_density: Of t = log s, Jacobian included.
        quadratic: D.
        count: n.
        nodes: Of the trapezoid rule over [-50, 50].
    """
    t = torch.linspace(-50, 50, nodes, dtype=torch.float64)
    values = -0.5 * count * (t + math.log(2 * math.pi)) - 0.5 * quadratic * torch.exp(-t) + log_density(t)
    return float(torch.logsumexp(values, 0)) + math.log(100 / (nodes - 1))


def importance(
    scales: Tensor, gram: Tensor, targets: Tensor, cross: Tensor, prior: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the paper's estimate: weights of draws of sigma^2 from the prior, means, and variances for each draw.

    Args:
        scales: Draws of sigma^2 from its prior, (draws,).
        gram: Covariance of the targets at scale 1, noise included, (n, n).
        targets: (n,).
        cross: Covariance of test and training points at scale 1, (m, n).
        prior: Variance of test targets at scale 1, noise included, (m,).
    """
    inverse = torch.linalg.inv(gram)
    quadratic = targets @ inverse @ targets
    # log w_i = -(n/2) log s_i - D / (2 s_i), up to a constant
    weights = torch.softmax(-0.5 * len(targets) * scales.log() - quadratic / (2 * scales), 0)
    variance = prior - (cross @ inverse * cross).sum(1)
    return weights, cross @ inverse @ targets, scales[:, None] * variance


def objective(
    means: Tensor, variances: Tensor, noise: Tensor, scales: Tensor, targets: Tensor, divergence: float, num_train: int
) -> float:
    """Returns the negative bound per example that `ELBO` sums, by a loop over examples and draws.

    Args:
        means: Of the latent functions, (batch, classes).
        variances: At scale 1, (batch, classes).
        noise: Standard normal numbers, (batch, draws, classes).
        scales: Draws of sigma^2, (batch, draws).
        targets: Classes, (batch,).
        divergence: KL(q || p).
        num_train: Training examples.
    """
    total = 0.0
    for i, target in enumerate(targets.tolist()):
        for j in range(noise.shape[1]):
            f = [
                float(m + math.sqrt(float(scales[i, j] * v)) * e)
                for m, v, e in zip(means[i], variances[i], noise[i, j], strict=True)
            ]
            chance = math.exp(f[target]) / sum(math.exp(value) for value in f)
            total -= math.log(chance) / noise.shape[1]
    return total / len(targets) + divergence / num_train


def divergence(mean: Tensor, deviation: Tensor, gram: Tensor, a: float, b: float, a0: float, b0: float) -> float:
    """Returns KL(q(u, s) || p(u, s)) of a sparse Student's t process, with the divergence of Gaussians from torch.

    Args:
        mean: mu_c, (inducing, classes).
        deviation: Roots of the diagonals of S_c, (inducing, classes).
        gram: K_ZZ, (inducing, inducing).
        a: Shape of q(s).
        b: Scale of q(s).
        a0: Shape of p(s).
        b0: Scale of p(s).
    """
    # q(u | s) and p(u | s) share s: given s, only the distance of the means depends on it, with E[1 / s] = a / b
    total, zero = 0.0, torch.zeros(len(mean), dtype=mean.dtype)
    normal = torch.distributions.MultivariateNormal
    for mu, dev in zip(mean.T, deviation.T, strict=True):
        centred = torch.distributions.kl_divergence(normal(zero, dev.square().diag()), normal(zero, gram))
        total += float(centred) + 0.5 * a / b * float(mu @ torch.linalg.inv(gram) @ mu)
    q, p = (
        torch.distributions.InverseGamma(torch.tensor(x).double(), torch.tensor(y).double())
        for x, y in ((a, b), (a0, b0))
    )
    t = torch.linspace(-40, 40, 100_001, dtype=torch.float64)
    log_q, log_p = (d.log_prob(t.exp()) + t for d in (q, p))
    return total + float(torch.trapezoid((log_q.exp() * (log_q - log_p)).nan_to_num(), t))
