"""A multilayer perceptron whose hidden layers are `blocks`, so that local-learning trainers can use it."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from annotated_types import Ge, Lt
from jaxtyping import Float
from torch import Tensor, nn

from rk.fields import LogitsOutputs

_ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh, "silu": nn.SiLU}


class MLP(nn.Module):
    """A multilayer perceptron over flattened inputs.

    Args:
        num_features: Numbers per example, all input dimensions together.
        num_classes: Classes.
        hidden_sizes: Width of each hidden layer.
        activation: The nonlinearity after each hidden layer.
        dropout: Share of hidden units set to zero in training.

    Attributes:
        blocks: The hidden layers, each a module from (batch, width before) to (batch, width).
        head: The last, linear layer.

    Examples:
        model: {name: mlp, hidden_sizes: [64, 64], dropout: 0.1}

        >>> MLP(num_features=64, num_classes=10)(inputs=torch.rand(2, 8, 8))["logits"].shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        num_features: int,
        num_classes: int,
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
        self.head = nn.Linear(sizes[-1], num_classes)
        self.keeps_shape = len(set(sizes)) == 1

    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> LogitsOutputs:
        """Returns logits of (batch, classes)."""
        hidden = inputs.flatten(1)
        for block in self.blocks:
            hidden = block(hidden)
        return {"logits": self.head(hidden)}

    def enter(self, *, inputs: Float[Tensor, "batch *shape"]) -> tuple[Tensor, tuple[()]]:
        """Returns what the first block takes, of (batch, features)."""
        return inputs.flatten(1), ()

    def leave(self, hidden: Float[Tensor, "batch width"]) -> LogitsOutputs:
        """Returns logits of (batch, classes) from what the last block gave."""
        return {"logits": self.head(hidden)}
