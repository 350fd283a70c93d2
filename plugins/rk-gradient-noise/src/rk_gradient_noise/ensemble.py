"""Many restarts of `deep-mlp` as one model: the same data, other starting weights, one batched product per layer.

A layer of fifty units is too small to keep a processor busy: ten of them in one product take hardly longer than one.
"""

# b batch, s members, i inputs of a layer, o its outputs

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Any, Literal, TypedDict

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor, nn

from rk_gradient_noise.inits import weight_std
from rk_gradient_noise.model import ACTIVATIONS, DeepMLP


class MemberOutputs(TypedDict):
    """The scores of every member."""

    member_logits: Float[Tensor, "batch members classes"]


class EnsembleAnswers(TypedDict):
    """The scores of every member, and those of the mean of their probabilities."""

    member_logits: Float[Tensor, "batch members classes"]
    logits: Float[Tensor, "batch classes"]


class DeepMLPEnsemble(nn.Module):
    """Independent members of the architecture `deep-mlp`, trained side by side on the same batches.

    Every parameter has the members as its first dimension. Train it with the loss `member-cross-entropy`, a sum over
    the members, so that no member learns from another; and clip with the callback `clip-members`, as
    `fit.gradient_clip` would scale all members by one norm. The answer to a new example is the mean of the members'
    probabilities.

    Args:
        num_features: Numbers per example, all input dimensions together.
        num_classes: Classes.
        num_members: Networks.
        num_layers: Hidden layers of each.
        hidden_size: Width of each hidden layer.
        activation: The nonlinearity after each hidden layer.
        init: Starting weights, as for `deep-mlp`; every member draws its own.
        init_std: Deviation of `simple`.

    Examples:
        model: {name: deep-mlp-ensemble, num_members: 8, init: simple}

        >>> ensemble = DeepMLPEnsemble(num_features=64, num_classes=10, num_members=3)
        >>> ensemble(inputs=torch.rand(2, 8, 8))["member_logits"].shape
        torch.Size([2, 3, 10])
    """

    renamed = {"n_layers": "num_layers", "n_members": "num_members"}

    def __init__(
        self,
        num_features: Annotated[int, Ge(1)],
        num_classes: Annotated[int, Ge(1)],
        num_members: Annotated[int, Ge(1)] = 10,
        num_layers: Annotated[int, Ge(1)] = 20,
        hidden_size: Annotated[int, Ge(1)] = 50,
        activation: Literal["relu", "tanh", "sigmoid", "gelu"] = "relu",
        init: Literal["simple", "sussillo", "he", "xavier", "zero"] = "simple",
        init_std: Annotated[float, Ge(0)] = 0.1,
    ) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {  # Any: as the parameters of `DeepMLP`
            "num_layers": num_layers,
            "hidden_size": hidden_size,
            "activation": activation,
        }
        self.num_members = num_members
        widths = [num_features] + [hidden_size] * num_layers + [num_classes]
        self.weights = nn.ParameterList(
            torch.randn(num_members, before, after) * weight_std(init, before, after, init_std)
            for before, after in pairwise(widths)
        )
        self.biases = nn.ParameterList(torch.zeros(num_members, 1, after) for after in widths[1:])
        self.activation = ACTIVATIONS[activation]()

    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> MemberOutputs:
        """Returns the logits of every member, (batch, members, classes)."""
        hidden: Float[Tensor, "s b i"] = inputs.flatten(1).expand(self.num_members, -1, -1)
        *hidden_layers, last = zip(self.weights, self.biases, strict=True)
        for weight, bias in hidden_layers:
            hidden = self.activation(torch.baddbmm(bias, hidden, weight))
        weight, bias = last
        return {"member_logits": torch.baddbmm(bias, hidden, weight).transpose(0, 1)}

    def predict(self, *, inputs: Float[Tensor, "batch *shape"]) -> EnsembleAnswers:
        """Returns the logits of every member, and the logarithm of the mean of their probabilities."""
        logits = self(inputs=inputs)["member_logits"]
        mean = logits.log_softmax(-1).logsumexp(1) - math.log(self.num_members)
        return {"member_logits": logits, "logits": mean}

    @torch.no_grad()
    def member(self, k: int) -> DeepMLP:
        """Returns a copy of member `k` (from 0) as a separate network."""
        first, last = self.weights[0], self.weights[-1]
        with torch.device("meta"):  # draws no starting weights
            network = DeepMLP(first.shape[1], last.shape[2], **self.settings)
        network = network.to_empty(device=first.device).to(first.dtype)
        for layer, weight, bias in zip(network.layers(), self.weights, self.biases, strict=True):
            layer.weight.copy_(weight[k].T)
            layer.bias.copy_(bias[k, 0])
        return network
