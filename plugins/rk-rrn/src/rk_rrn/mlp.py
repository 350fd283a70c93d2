"""Multilayer perceptrons as the paper has them: hidden ReLU layers, then a linear one, Glorot's starting weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


def linear(in_features: int, out_features: int) -> nn.Linear:
    """Returns a linear layer with Glorot-uniform weights and zero biases; the biases get no weight decay."""
    layer = nn.Linear(in_features, out_features)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    layer.bias.no_weight_decay = True  # type: ignore[attr-defined]  # a mark that rk's runtime reads
    return layer


class MLP(nn.Module):
    """`num_layers` hidden ReLU layers and a linear layer.

    The input may come in parts that are read side by side, as if they were concatenated: the first layer is linear, so
    the share of a part that never changes is computed once (`share`).

    Args:
        sizes: Width of each part of the input.
        hidden_size: Width of the hidden layers.
        out_features: Width of the output.
        num_layers: Hidden layers.
        dropout: Share of the hidden units that is dropped in training.
    """

    def __init__(
        self, sizes: Sequence[int], hidden_size: int, out_features: int, num_layers: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.first = linear(sum(sizes), hidden_size)
        self.hidden = nn.ModuleList(linear(hidden_size, hidden_size) for _ in range(num_layers - 1))
        self.last = linear(hidden_size, out_features)
        self.dropout = nn.Dropout(dropout)

    def share(self, part: int, x: Float[Tensor, "*rows size"]) -> Float[Tensor, "*rows hidden"]:
        """Returns what part number `part` of the input adds to the first layer, which has no bias here."""
        start = sum(self.sizes[:part])
        return functional.linear(x, self.first.weight[:, start : start + self.sizes[part]])

    def rest(self, first: Float[Tensor, "*rows hidden"]) -> Float[Tensor, "*rows hidden"]:
        """Returns the last hidden layer, from the shares of all parts; their sum is overwritten."""
        # rows in one axis: the output of a linear layer is then no view, and ReLU in place costs no copy of gradients
        x = self.dropout(torch.relu_(first)).flatten(0, -2)
        for layer in self.hidden:
            x = self.dropout(torch.relu_(layer(x)))
        return x.view(first.shape)

    def forward(self, *parts: Float[Tensor, "*rows size"]) -> Float[Tensor, "*rows out"]:
        """Maps the parts, of (..., size) each."""
        return self.last(self.rest(self.first(torch.cat(parts, -1) if len(parts) > 1 else parts[0])))
