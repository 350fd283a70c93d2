"""The model `ntk-mlp`: a finite multilayer perceptron in the parametrisation of the tangent kernel."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal, TypedDict

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from rk_kernels.functions import Activation, function_of


class NTKOutputs(TypedDict):
    """The same numbers twice: for losses on classes and for those on values."""

    logits: Float[Tensor, "batch outputs"]
    values: Float[Tensor, "batch outputs"]


class NTKMLP(nn.Module):
    """A multilayer perceptron whose limit of infinite width is that of `mlp-kernel`.

    With ``ntk``, weights are N(0, 1) and each layer divides by the root of its fan-in: h = w_std W x / sqrt(fan-in) +
    b_std b (Jacot et al. 2018, arXiv:1806.07572, Eq. 1), so that gradient descent at one rate follows the tangent
    kernel. With ``standard``, the same function is drawn, but the factor is in the weights, N(0, w_std^2 / fan-in): at
    one rate and a great width, the last layer then learns nearly alone.

    Args:
        num_features: Numbers per example, all input dimensions together.
        num_outputs: Numbers that are answered.
        hidden_size: Width of the hidden layers.
        depth: Hidden layers.
        activation: The nonlinearity after each; a list: its Hermite coefficients a_0, a_1, ...
        w_std: Standard deviation of the weights, times the root of the fan-in.
        b_std: That of the biases; 0: there are none.
        parametrization: Where the factor is.

    Examples:
        model: {name: ntk-mlp, hidden_size: 4096, depth: 1}

        >>> NTKMLP(num_features=3, num_outputs=2, hidden_size=64)(inputs=torch.rand(5, 3))["values"].shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        num_features: Annotated[int, Ge(1)],
        num_outputs: Annotated[int, Ge(1)],
        hidden_size: Annotated[int, Ge(1)] = 512,
        depth: Annotated[int, Ge(1)] = 1,
        activation: Activation | tuple[float, ...] = "relu",
        w_std: Annotated[float, Gt(0)] = 1.0,
        b_std: Annotated[float, Ge(0)] = 0.0,
        parametrization: Literal["ntk", "standard"] = "ntk",
    ) -> None:
        super().__init__()
        sizes = [num_features, *[hidden_size] * depth, num_outputs]
        outside = parametrization == "ntk"
        self.activation = function_of(activation)
        self.factors = [w_std / math.sqrt(before) if outside else 1.0 for before in sizes[:-1]]
        self.b_std = b_std if outside else 1.0
        inside = [1.0 if outside else w_std / math.sqrt(before) for before in sizes[:-1]]
        self.weights = nn.ParameterList(
            std * torch.randn(after, before) for std, (before, after) in zip(inside, pairwise(sizes), strict=True)
        )
        deviation = 1.0 if outside else b_std
        self.biases = nn.ParameterList(deviation * torch.randn(after) for after in sizes[1:] if b_std)

    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> NTKOutputs:
        """Returns (batch, outputs), under both names."""
        hidden = inputs.flatten(1)
        for layer, (factor, weight) in enumerate(zip(self.factors, self.weights, strict=True)):
            hidden = self.activation(hidden) if layer else hidden
            hidden = functional.linear(hidden, weight) * factor
            if len(self.biases):
                hidden = hidden + self.b_std * self.biases[layer]
        return {"logits": hidden, "values": hidden}
