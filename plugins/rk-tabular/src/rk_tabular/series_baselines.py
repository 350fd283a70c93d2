"""Trainers in closed form: the seasonal-naive forecast, and ridge regression on lags."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, TypedDict

import torch
from annotated_types import Gt
from jaxtyping import Bool, Float
from torch import Tensor, nn

from rk import Runtime, UserError
from rk.fields import ValuesOutputs
from rk.protocols import Data
from rk_tabular.series_model import past_and_future


class WindowsOnly(TypedDict):
    """What a forecast is made from. Steps whose mask is False are zeros, and nothing else is done with it."""

    inputs: Float[Tensor, "batch window features"]
    mask: NotRequired[Bool[Tensor, "batch window"]]


class WindowsWithTargets(WindowsOnly):
    """What ridge regression learns from."""

    targets: Float[Tensor, "batch horizon"]


class SeasonalNaiveLearner(nn.Module):
    """Repeats the last season of the window.

    Args:
        horizon: Steps that are predicted.
        season: Steps of a season, at most those of a window.
    """

    def __init__(self, horizon: int, season: int) -> None:
        super().__init__()
        self.horizon, self.season = horizon, season

    def predict(self, batch: WindowsOnly) -> ValuesOutputs:
        """Returns ``y[t + h - season * ceil(h / season)]`` for h = 1, ..., horizon; (batch, horizon)."""
        last = batch["inputs"][:, -self.season :, 0]
        return {"values": last.repeat(1, -(-self.horizon // self.season))[:, : self.horizon]}


class SeasonalNaive:
    """Learns nothing: each date gets what was there a whole number of seasons before. Others are measured beside it.

    With a season of 1 it is the naive forecast, the last value.

    Args:
        horizon: Steps that are predicted; a fact of the data.
        window: Steps of a window.
        season: Steps of a season; a fact of the data.

    Raises:
        ValueError: When a window is shorter than a season.

    Examples:
        trainer: seasonal-naive
    """

    def __init__(self, horizon: int, window: int, season: int) -> None:
        if window < season:
            raise ValueError(f"the window must hold a season: data.window must be >= {season}, got {window}")
        self.horizon, self.season = horizon, season

    def setup(self, *, runtime: Runtime) -> SeasonalNaiveLearner:
        learner = SeasonalNaiveLearner(self.horizon, self.season)
        runtime.setup(learner)
        return learner

    def step(self, batch: WindowsOnly) -> dict[str, Tensor] | None:
        """There is nothing to learn."""
        return None


class RidgeLearner(nn.Module):
    """A linear map for each step of the horizon.

    Args:
        horizon: Steps that are predicted.
        lags: Numbers of a window: the series and its past covariates.
        num_known: Known features.
    """

    weights: Tensor
    """(horizon, lags + num_known + 1), float64; the last one is the intercept."""

    def __init__(self, horizon: int, lags: int, num_known: int) -> None:
        super().__init__()
        self.horizon, self.num_known = horizon, num_known
        self.register_buffer("weights", torch.zeros(horizon, lags + num_known + 1, dtype=torch.float64))

    def features(self, inputs: Tensor) -> Tensor:
        """Returns for each step of the horizon the lags, what is known of its date, and 1.

        Args:
            inputs: (batch, window, features).

        Returns:
            (batch, horizon, lags + num_known + 1), float64.
        """
        past, future = past_and_future(inputs.double(), self.horizon, self.num_known)
        lags = past.flatten(1).unsqueeze(1).expand(-1, self.horizon, -1)
        return torch.cat([lags, future, future.new_ones(*future.shape[:2], 1)], -1)

    def predict(self, batch: WindowsOnly) -> ValuesOutputs:
        """Returns values of (batch, horizon)."""
        values = torch.einsum("bhf,hf->bh", self.features(batch["inputs"]), self.weights)
        return {"values": values.to(batch["inputs"].dtype)}


class RidgeLags:
    """Ridge regression on the lags of a window (Hoerl and Kennard, 1970), for each step of the horizon its own.

    Exact: one pass sums the products of features, then ``(X'X + alpha I) w = X'y`` is solved in float64. The intercept
    is not shrunk. Features are the values of the window, its past covariates, and what is known of the date that is
    predicted.

    Args:
        window: Steps of a window; a fact of the data.
        horizon: Steps that are predicted.
        num_features: Features of a step.
        num_known: Known features.
        alpha: Strength of the penalty.

    Examples:
        trainer: {name: ridge-lags, alpha: 10.0}
    """

    def __init__(
        self, window: int, horizon: int, num_features: int, num_known: int, alpha: Annotated[float, Gt(0)] = 1.0
    ) -> None:
        self.horizon, self.num_known, self.alpha = horizon, num_known, alpha
        self.lags = window * (num_features - 2 * num_known)
        self.seen = 0

    def setup(self, *, data: Data, runtime: Runtime) -> RidgeLearner:
        if runtime.world > 1:
            raise UserError("ridge-lags solves one system: it runs in one process", "fit.devices=1")
        self.data = data
        self.learner = RidgeLearner(self.horizon, self.lags, self.num_known)
        runtime.setup(self.learner)
        size = self.learner.weights.shape[1]
        self.squares = self.learner.weights.new_zeros(self.horizon, size, size)
        self.products = self.learner.weights.new_zeros(self.horizon, size)
        return self.learner

    def step(self, batch: WindowsWithTargets) -> dict[str, Tensor] | None:
        """Adds the windows of one batch; None when the pass is over."""
        total = self.data.batches("train")
        if total is None:
            raise UserError("ridge-lags takes all training windows, but the training split has no end")
        if self.seen >= total:
            return None
        self.seen += 1
        x, y = self.learner.features(batch["inputs"]).transpose(0, 1), batch["targets"].double()
        self.squares = self.squares.to(x.device) + x.mT @ x
        self.products = self.products.to(x.device) + torch.einsum("hbf,bh->hf", x, y)
        return {}

    @torch.no_grad()
    def finish(self) -> None:
        """Solves for the weights."""
        penalty = torch.full_like(self.products[0], self.alpha)
        penalty[-1] = 0
        self.learner.weights.copy_(torch.linalg.solve(self.squares + penalty.diag(), self.products))

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen, "squares": self.squares, "products": self.products}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen, self.squares, self.products = state["seen"], state["squares"], state["products"]
