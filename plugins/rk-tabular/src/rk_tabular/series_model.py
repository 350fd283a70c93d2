"""The model `forecast-mlp`: a linear map from a window to the horizon, and a network beside it."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Lt
from jaxtyping import Bool, Float
from torch import Tensor, nn

from rk.fields import ValuesOutputs

_ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh, "silu": nn.SiLU}


class ForecastMLP(nn.Module):
    """Forecasts the whole horizon at once: ``linear(x) + mlp(x)``, of the window and what is known of the future.

    Without hidden layers it is linear: with ``data.level: last``, NLinear (Zeng et al. 2023, arXiv:2205.13504, Sec. 4),
    with covariates beside the series.

    Args:
        window: Steps of a window; a fact of the data.
        horizon: Steps that are predicted.
        num_features: Features of a step.
        num_known: Known features: the last ones of a step are those of the step `horizon` later.
        hidden_sizes: Width of each hidden layer; none: a linear model.
        activation: The nonlinearity after each hidden layer.
        dropout: Share of hidden units set to zero in training.

    Examples:
        model: {name: forecast-mlp, hidden_sizes: [64]}

        >>> model = ForecastMLP(window=28, horizon=7, num_features=1, num_known=0)
        >>> model(inputs=torch.rand(2, 28, 1))["values"].shape
        torch.Size([2, 7])
    """

    def __init__(
        self,
        window: int,
        horizon: int,
        num_features: int,
        num_known: int,
        hidden_sizes: tuple[Annotated[int, Ge(1)], ...] = (64,),
        activation: Literal["relu", "gelu", "tanh", "silu"] = "relu",
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        super().__init__()
        self.horizon, self.num_known = horizon, num_known
        self.num_past = num_features - 2 * num_known
        sizes = [window * self.num_past + horizon * num_known, *hidden_sizes]
        self.linear = nn.Linear(sizes[0], horizon)
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), _ACTIVATIONS[activation]()]
            layers += [nn.Dropout(dropout)] if dropout else []
        self.mlp = nn.Sequential(*layers, nn.Linear(sizes[-1], horizon)) if hidden_sizes else None
        nn.init.zeros_(self.linear.bias)
        nn.init.normal_(self.linear.weight, std=0.1 * sizes[0] ** -0.5)

    def forward(
        self, *, inputs: Float[Tensor, "batch window features"], mask: Bool[Tensor, "batch window"] | None = None
    ) -> ValuesOutputs:
        """Returns values of (batch, horizon), scaled like the windows; steps whose `mask` is False count as zeros."""
        past, future = past_and_future(inputs, self.horizon, self.num_known)
        if mask is not None:
            past = past * mask.unsqueeze(-1)
        x = torch.cat([past.flatten(1), future.flatten(1)], 1)
        values = self.linear(x)
        return {"values": values if self.mlp is None else values + self.mlp(x)}


def past_and_future(inputs: Tensor, horizon: int, num_known: int) -> tuple[Tensor, Tensor]:
    """Returns the series and its past covariates, and what is known of the future.

    Args:
        inputs: (batch, window, features), as `rk_tabular.series_fields.WindowsBatch` has them.
        horizon: Steps that are predicted.
        num_known: Known features.

    Returns:
        (batch, window, 1 + past covariates) and (batch, horizon, num_known).
    """
    width = inputs.shape[-1]
    return inputs[..., : width - 2 * num_known], inputs[:, -horizon:, width - num_known :]
