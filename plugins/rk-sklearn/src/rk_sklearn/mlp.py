"""A multilayer perceptron with real outputs."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from annotated_types import Ge, Lt
from jaxtyping import Float
from torch import Tensor, nn

from rk.fields import ValuesOutputs

_ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh, "silu": nn.SiLU}


class MLPRegressor(nn.Module):
    """A multilayer perceptron over feature vectors, with one real output for each target.

    Args:
        num_features: Numbers per example.
        num_targets: Targets.
        hidden_sizes: Width of each hidden layer.
        activation: The nonlinearity after each hidden layer.
        dropout: Share of hidden units set to zero in training.

    Examples:
        model: {name: mlp-regressor, hidden_sizes: [64, 64]}

        >>> MLPRegressor(num_features=3, num_targets=2)(inputs=torch.rand(4, 3))["values"].shape
        torch.Size([4, 2])
    """

    def __init__(
        self,
        num_features: int,
        num_targets: int,
        hidden_sizes: tuple[Annotated[int, Ge(1)], ...] = (64,),
        activation: Literal["relu", "gelu", "tanh", "silu"] = "relu",
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        super().__init__()
        sizes = [num_features, *hidden_sizes]
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Linear(before, after), _ACTIVATIONS[activation](), *([nn.Dropout(dropout)] if dropout else [])
            )
            for before, after in pairwise(sizes)
        )
        self.head = nn.Linear(sizes[-1], num_targets)

    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> ValuesOutputs:
        """Returns values of (batch, targets)."""
        hidden = inputs.flatten(1)
        for block in self.blocks:
            hidden = block(hidden)
        return {"values": self.head(hidden)}
