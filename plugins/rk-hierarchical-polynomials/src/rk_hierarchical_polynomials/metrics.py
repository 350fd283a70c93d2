"""The metrics `normalised-error` and `feature-correlation`."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


class _Moments:
    """Sums of pairs of numbers (a, b), in float64."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets all examples."""
        self.sums = torch.zeros(6, dtype=torch.float64)

    def _add(self, a: Tensor, b: Tensor) -> None:
        a, b = a.detach().double().flatten().cpu(), b.detach().double().flatten().cpu()
        sums = [a.new_tensor(len(a)), a.sum(), b.sum(), a @ a, b @ b, a @ b]
        self.sums = self.sums + torch.stack(sums)

    def merge(self, other: _Moments) -> None:
        """Adds the examples that another metric has seen."""
        self.sums = self.sums + other.sums


class NormalisedError(_Moments):
    """Mean squared error over the variance of the targets: 0 is exact, 1 is answering with their mean.

    Examples:
        metrics: {nmse: normalised-error}
    """

    higher_is_better = False

    def update(self, *, values: Float[Tensor, "batch targets"], targets: Float[Tensor, "batch targets"]) -> None:
        """Adds a batch."""
        self._add(values, targets)

    def compute(self) -> float:
        """Returns the error; NaN where targets have no variance."""
        n, _, b, aa, bb, ab = self.sums.tolist()
        variance = bb - b * b / n if n else 0.0
        return (aa - 2 * ab + bb) / variance if variance > 0 else float("nan")


class FeatureCorrelation(_Moments):
    """|correlation| of what a model has found inside with the hidden polynomial p of the target.

    A model that does not answer with a ``feature`` is measured by its answer.

    Examples:
        metrics: {correlation: feature-correlation}
    """

    higher_is_better = True

    def update(
        self,
        *,
        polynomial: Float[Tensor, "batch"],
        values: Float[Tensor, "batch targets"],
        feature: Float[Tensor, "batch"] | None = None,
    ) -> None:
        """Adds a batch."""
        self._add(values if feature is None else feature, polynomial)

    def compute(self) -> float:
        """Returns the correlation, 0 to 1; 0 for a feature that is the same everywhere."""
        n, a, b, aa, bb, ab = self.sums.tolist()
        if not n:
            return float("nan")
        spread = (aa - a * a / n) * (bb - b * b / n)
        return min(1.0, abs(ab - a * b / n) / spread**0.5) if spread > 0 else 0.0
