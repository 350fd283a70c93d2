"""One eigendecomposition of a kernel matrix: evidence and answers for every noise, at O(n) and O(n^2) each."""

from __future__ import annotations

import torch
from torch import Tensor


class Spectrum:
    """K = U diag(l) U', and targets in the basis of U.

    Args:
        gram: (n, n), without noise.
        targets: (n,), or (n, outputs): D is then the sum over the outputs.
    """

    def __init__(self, gram: Tensor, targets: Tensor) -> None:
        self.values, self.vectors = torch.linalg.eigh(gram)
        self.values = self.values.clamp(min=0)
        self.rotated = self.vectors.mT @ targets
        self.count = len(targets)
        self._squares = self.rotated.square().reshape(self.count, -1).sum(1)

    def quadratic(self, noise: Tensor) -> Tensor:
        """Returns D = y' (K + noise I)^-1 y for each noise of (...,)."""
        return (self._squares / (self.values + noise.unsqueeze(-1))).sum(-1)

    def log_determinant(self, noise: Tensor) -> Tensor:
        """Returns log |K + noise I| for each noise of (...,)."""
        return (self.values + noise.unsqueeze(-1)).log().sum(-1)

    def answer(self, cross: Tensor, prior: Tensor, noise: float) -> tuple[Tensor, Tensor]:
        """Returns means and variances of noisy observations at scale 1, (m,) each; of targets of (n,).

        Args:
            cross: (m, n), test by training inputs.
            prior: Variance of the function at the test inputs, (m,).
            noise: Variance of the noise, relative to the scale.
        """
        seen = cross @ self.vectors
        shrunk = self.values + noise
        return seen @ (self.rotated / shrunk), prior + noise - (seen.square() / shrunk).sum(-1)
