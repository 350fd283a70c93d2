"""Errors of forecasts, in the unit of the file or relative to it. Gaps that were filled are not judged."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from rk.protocols import Share

__all__ = ["MAE", "MAPE", "MASE", "RMSE", "SMAPE"]


def _errors(values: Tensor, targets: Tensor, spread: Tensor) -> Tensor:
    """Returns absolute errors in the unit of the file, (batch, horizon), float64."""
    return (values.double() - targets.double()).abs() * spread.double().unsqueeze(1)


class RMSE:
    """Root of the mean squared error, in the unit of the file.

    Examples:
        metrics: {rmse: forecast-rmse}
    """

    higher_is_better = False

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets all forecasts."""
        self.total, self.count = 0.0, 0

    def update(
        self,
        *,
        values: Float[Tensor, "batch horizon"],
        targets: Float[Tensor, "batch horizon"],
        spread: Float[Tensor, "batch"],
        observed: Bool[Tensor, "batch horizon"],
    ) -> None:
        """Adds a batch."""
        self.total += float((_errors(values, targets, spread).square() * observed).sum())
        self.count += int(observed.sum())

    def merge(self, other: RMSE) -> None:
        """Adds the forecasts that another metric has seen."""
        self.total, self.count = self.total + other.total, self.count + other.count

    def compute(self) -> float:
        """Returns the root; NaN over nothing."""
        return (self.total / self.count) ** 0.5 if self.count else float("nan")


class MAE:
    """Mean absolute error, in the unit of the file.

    Examples:
        metrics: {mae: forecast-mae}
    """

    higher_is_better = False

    def __call__(
        self,
        *,
        values: Float[Tensor, "batch horizon"],
        targets: Float[Tensor, "batch horizon"],
        spread: Float[Tensor, "batch"],
        observed: Bool[Tensor, "batch horizon"],
    ) -> Share:
        """Returns the sum and the number of values."""
        return (_errors(values, targets, spread) * observed).sum(), observed.sum()


class MAPE:
    """Mean absolute percentage error: the mean of ``100 |y - f| / |y|`` over the values y that are not 0.

    Values of 0 are left out: there the percentage does not exist. The data warns of how many there are. NaN where all
    are 0.

    Examples:
        metrics: {mape: mape}
    """

    higher_is_better = False

    def __call__(
        self,
        *,
        values: Float[Tensor, "batch horizon"],
        targets: Float[Tensor, "batch horizon"],
        center: Float[Tensor, "batch"],
        spread: Float[Tensor, "batch"],
        observed: Bool[Tensor, "batch horizon"],
    ) -> Share:
        """Returns the sum and the number of values that count."""
        truth = true_values(targets, center, spread).abs()
        counts = observed & (truth > 0)
        share = _errors(values, targets, spread) / truth.where(counts, 1.0)
        return 100 * (share * counts).sum(), counts.sum()


class SMAPE:
    """Symmetric mean absolute percentage error: the mean of ``200 |y - f| / (|y| + |f|)``, from 0 to 200.

    This is the form of the M4 competition (Makridakis, Spiliotis and Assimakopoulos, 2020). Where both are 0, the error
    is 0.

    Examples:
        metrics: {smape: smape}
    """

    higher_is_better = False

    def __call__(
        self,
        *,
        values: Float[Tensor, "batch horizon"],
        targets: Float[Tensor, "batch horizon"],
        center: Float[Tensor, "batch"],
        spread: Float[Tensor, "batch"],
        observed: Bool[Tensor, "batch horizon"],
    ) -> Share:
        """Returns the sum and the number of values."""
        truth = true_values(targets, center, spread)
        found = values.double() * spread.double().unsqueeze(1) + center.double().unsqueeze(1)
        size = truth.abs() + found.abs()
        share = _errors(values, targets, spread) / size.where(size > 0, 1.0)
        return 200 * (share * observed).sum(), observed.sum()


class MASE:
    """Mean absolute scaled error (Hyndman and Koehler, 2006): the error over that of the seasonal-naive forecast.

    Each error is divided by the series' mean of ``|y[t] - y[t - season]|`` on the training span. Series in which that
    is 0 (a constant) or does not exist (shorter than a season) are left out. Below 1, forecasts of the whole horizon
    are better than what was a season ago was on the training span.

    Examples:
        metrics: {mase: mase}
    """

    higher_is_better = False

    def __call__(
        self,
        *,
        values: Float[Tensor, "batch horizon"],
        targets: Float[Tensor, "batch horizon"],
        spread: Float[Tensor, "batch"],
        seasonal_error: Float[Tensor, "batch"],
        observed: Bool[Tensor, "batch horizon"],
    ) -> Share:
        """Returns the sum and the number of values that count."""
        by = seasonal_error.double().unsqueeze(1)
        counts = observed & (by > 0)
        return (_errors(values, targets, spread) / by.where(by > 0, 1.0) * counts).sum(), counts.sum()


def true_values(targets: Tensor, center: Tensor, spread: Tensor) -> Tensor:
    """Returns targets in the unit of the file, (batch, horizon), float64; what rounds to 0 is 0.

    Args:
        targets: Scaled, (batch, horizon).
        center: (batch,).
        spread: (batch,).
    """
    found = targets.double() * spread.double().unsqueeze(1) + center.double().unsqueeze(1)
    rounding = 1e-6 * (spread.double() + center.double().abs()).unsqueeze(1)
    return found.where(found.abs() > rounding, 0.0)
