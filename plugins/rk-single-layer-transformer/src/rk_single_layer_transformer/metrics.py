"""Errors of maps of sequences: the largest one, and the root of the mean square."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


class SupError:
    """The largest absolute error over all sequences, positions and outputs of a split.

    On random points it is below the true maximum; the test split of `continuous-sequences` is a grid with the kinks.

    Examples:
        metrics: {sup-error: sup-error}
    """

    higher_is_better = False

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.largest: list[float] = []

    def update(
        self, *, values: Float[Tensor, "batch time outputs"], targets: Float[Tensor, "batch time outputs"]
    ) -> None:
        """Adds a batch."""
        self.largest.append(float((values.double() - targets).abs().max()))

    def merge(self, other: SupError) -> None:
        self.largest += other.largest

    def compute(self) -> float:
        """Returns the largest error; NaN over nothing, and where an answer is NaN."""
        if not self.largest or any(value != value for value in self.largest):
            return float("nan")
        return max(self.largest)


class RootMeanSquaredError:
    """Root of the mean squared error over all sequences, positions and outputs of a split.

    Examples:
        metrics: {rmse: sequence-rmse}
    """

    higher_is_better = False

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.total, self.count = 0.0, 0

    def update(
        self, *, values: Float[Tensor, "batch time outputs"], targets: Float[Tensor, "batch time outputs"]
    ) -> None:
        """Adds a batch."""
        self.total += float((values.double() - targets).square().sum())
        self.count += targets.numel()

    def merge(self, other: RootMeanSquaredError) -> None:
        self.total, self.count = self.total + other.total, self.count + other.count

    def compute(self) -> float:
        """Returns the root; NaN over nothing."""
        return (self.total / self.count) ** 0.5 if self.count else float("nan")
