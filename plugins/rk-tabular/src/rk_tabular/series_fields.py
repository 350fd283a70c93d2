"""Fields of forecasts: what a batch of windows holds."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from jaxtyping import Bool, Float
from torch import Tensor


class WindowsBatch(TypedDict):
    """Windows of series and the values that follow them, both scaled; ``value = center + spread * scaled``.

    The first feature of a step is the series itself, then come the past covariates, the known features of the step, and
    the known features of the step `horizon` later. So the last `horizon` steps of a window hold all that is known
    of the future. A file that is forecast has no `targets`. ``series_meta`` has the name of each series,
    ``origin_meta`` the step of the first target.
    """

    inputs: Float[Tensor, "batch window features"]
    targets: Float[Tensor, "batch horizon"]
    center: Float[Tensor, "batch"]
    spread: Float[Tensor, "batch"]
    seasonal_error: Float[Tensor, "batch"]
    """Mean absolute error of the seasonal-naive forecast on the training span, in the file's unit; 0: none."""
    observed: Bool[Tensor, "batch horizon"]
    """True where the file has the target; False where a gap was filled."""
    mask: NotRequired[Bool[Tensor, "batch window"]]
    """True where the series has a step of the window; only of files with series that are shorter than a window."""
