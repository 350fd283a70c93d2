"""The loss `forecast-error`: errors of scaled values, without the gaps that were filled."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor

from rk.protocols import Share

__all__ = ["ForecastError"]


class ForecastError:
    """Squared or absolute error of each value that is in the file, in units of the series' deviation.

    Args:
        kind: With `squared` the mean is learned, with `absolute` the median, which MAE and MASE ask for.

    Examples:
        loss: {name: forecast-error, kind: absolute}

        >>> observed = torch.tensor([[True, True, False]])
        >>> ForecastError()(values=torch.ones(1, 3), targets=torch.zeros(1, 3), observed=observed)
        (tensor(2.), tensor(2))
    """

    def __init__(self, kind: Literal["squared", "absolute"] = "squared") -> None:
        self.kind = kind

    def __call__(
        self,
        *,
        values: Float[Tensor, "batch horizon"],
        targets: Float[Tensor, "batch horizon"],
        observed: Bool[Tensor, "batch horizon"],
    ) -> Share:
        """Returns the summed error and the number of values that count."""
        error = values - targets
        return ((error.abs() if self.kind == "absolute" else error.square()) * observed).sum(), observed.sum()
