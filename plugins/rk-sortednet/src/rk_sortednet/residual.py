"""A residual MLP, whose every width and depth is a network."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor, nn

from rk.fields import LogitsOutputs


class ResidualBlock(nn.Module):
    """x + relu(W x + b), of (batch, width) to (batch, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, hidden: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        """Returns the sum of the input and what the layer makes of it."""
        return hidden + self.linear(hidden).relu()


class ResidualMLP(nn.Module):
    """A stem, residual layers of one width, and a head.

    Args:
        num_features: Numbers per example, all input dimensions together.
        num_classes: Classes.
        hidden_size: Units of each layer.
        num_layers: Residual layers.

    Attributes:
        blocks: The residual layers, each from (batch, hidden_size) to (batch, hidden_size).

    Examples:
        model: {name: residual-mlp, hidden_size: 128, num_layers: 3}

        >>> ResidualMLP(num_features=64, num_classes=10)(inputs=torch.rand(2, 8, 8))["logits"].shape
        torch.Size([2, 10])
    """

    keeps_shape = True

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        hidden_size: Annotated[int, Ge(1)] = 128,
        num_layers: Annotated[int, Ge(1)] = 3,
    ) -> None:
        super().__init__()
        self.stem = nn.Linear(num_features, hidden_size)
        self.blocks = nn.ModuleList(ResidualBlock(hidden_size) for _ in range(num_layers))
        self.head = nn.Linear(hidden_size, num_classes)

    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> LogitsOutputs:
        """Returns logits of (batch, classes)."""
        hidden, _ = self.enter(inputs=inputs)
        for block in self.blocks:
            hidden = block(hidden)
        return self.leave(hidden)

    def enter(self, *, inputs: Float[Tensor, "batch *shape"]) -> tuple[Tensor, tuple[()]]:
        """Returns what the first block takes, of (batch, hidden_size)."""
        return self.stem(inputs.flatten(1)).relu(), ()

    def leave(self, hidden: Float[Tensor, "batch width"]) -> LogitsOutputs:
        """Returns logits of (batch, classes) from what a block gave."""
        return {"logits": self.head(hidden)}
