"""Metrics of predictive distributions: density, error of the centre, and coverage of intervals."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from rk.protocols import Share
from rk_kernels.predictive import central_probability, log_density

LEVELS = tuple(i / 20 for i in range(1, 20))
"""Nominal levels of intervals: 5% to 95%."""


class NegativeLogLikelihood:
    """Mean of -log p(y) over targets, in nats, in the targets' own unit.

    Examples:
        metrics: {nll: predictive-nll}
    """

    higher_is_better = False

    def __call__(
        self,
        *,
        values: Float[Tensor, "batch targets"],
        scales: Float[Tensor, "batch targets components"],
        log_weights: Float[Tensor, "batch components"],
        degrees: Float[Tensor, "batch components"],
        targets: Float[Tensor, "batch targets"],
    ) -> Share:
        """Returns the sum and the number of targets."""
        found = log_density(values, scales, log_weights, degrees, targets)
        return -found.sum(), found.numel()


class SquaredError:
    """Mean squared distance of the central value from the target: what theories of learning curves are about.

    Examples:
        metrics: {squared-error: squared-error}
    """

    higher_is_better = False

    def __call__(self, *, values: Float[Tensor, "batch targets"], targets: Float[Tensor, "batch targets"]) -> Share:
        """Returns the sum and the number of targets."""
        return (values.double() - targets).square().sum(), targets.numel()


class RootMeanSquaredError:
    """Root of the mean squared distance of the central value from the target.

    Examples:
        metrics: {rmse: rmse}
    """

    higher_is_better = False

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.total, self.count = 0.0, 0

    def update(self, *, values: Float[Tensor, "batch targets"], targets: Float[Tensor, "batch targets"]) -> None:
        """Adds a batch."""
        self.total += float((values.double() - targets).square().sum())
        self.count += targets.numel()

    def merge(self, other: RootMeanSquaredError) -> None:
        self.total, self.count = self.total + other.total, self.count + other.count

    def compute(self) -> float:
        """Returns the root; NaN over nothing."""
        return (self.total / self.count) ** 0.5 if self.count else float("nan")


class CalibrationError:
    """Mean distance between the nominal level of central intervals and the share of targets inside, over `LEVELS`.

    Examples:
        metrics: {calibration: calibration-error}
    """

    higher_is_better = False

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.reached: list[Tensor] = []

    def update(
        self,
        *,
        values: Float[Tensor, "batch targets"],
        scales: Float[Tensor, "batch targets components"],
        log_weights: Float[Tensor, "batch components"],
        degrees: Float[Tensor, "batch components"],
        targets: Float[Tensor, "batch targets"],
    ) -> None:
        """Adds a batch."""
        self.reached.append(central_probability(values, scales, log_weights, degrees, targets).flatten())

    def merge(self, other: CalibrationError) -> None:
        self.reached += other.reached

    def compute(self) -> float:
        """Returns the mean distance; NaN over nothing."""
        if not self.reached:
            return float("nan")
        levels = torch.tensor(LEVELS, dtype=torch.float64)
        return float((coverage(torch.cat(self.reached), levels) - levels).abs().mean())


def coverage(reached: Tensor, levels: Tensor) -> Tensor:
    """Returns the share of targets inside the central interval of each level.

    Args:
        reached: What `central_probability` returned, flat.
        levels: Nominal, from 0 to 1.
    """
    return (reached.unsqueeze(0) <= levels.unsqueeze(1)).double().mean(1)
