"""The optimizer `layer-rates`: the learning rates of the equivalence principle, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rk import UserError
from rk.protocols import Optimizer, Schedule
from rk_criticality.activations import Name
from rk_criticality.theory import rates

if TYPE_CHECKING:
    from torch.optim.optimizer import ParamsT


@dataclass(frozen=True)
class LayerRates:
    """An optimizer with a rate for the biases and one for the weights of each layer (Sec. 9.4 of arXiv:2106.10165).

    The rate of the base is multiplied by lambda_b for biases and by lambda_W / fan-in for weights, so that all layers
    contribute alike to the tangent kernel, and networks of any width and depth learn alike at one rate: lambda_b =
    lambda_W = 1 / L of L layers for scale-invariant and half-stable activations; 1 / l of layer l, and 1, for tanh, sin
    and erf. For descent along the gradient, with critical initial weights: the steps of Adam do not follow a gradient's
    size. Layers are the matrices and the filters of convolutions, in the order in which the model has made them, each
    with the vector behind it as its bias, as those of `mlp` are.

    Args:
        base: The optimizer; its rate counts for a network of one layer with one input. Of a plain rate r at width n and
            depth L, with relu, take r n L.
        activation: That of the network.

    Raises:
        ValueError: When there are no such rates for the activation.

    Examples:
        trainer: {name: backprop, optimizer: {name: layer-rates, base: {name: sgd, lr: 1.0}, activation: tanh}}
    """

    base: Optimizer
    activation: Name

    def __post_init__(self) -> None:
        rates(self.activation, 1)

    @property
    def schedule(self) -> Schedule | None:
        """That of the base."""
        return self.base.schedule

    def __call__(self, params: ParamsT) -> torch.optim.Optimizer:
        """Returns the base's optimizer with a group for each rate; raises as `groups` does."""
        return self.base(groups(params, self.activation))


def groups(params: Iterable[Any], activation: Name) -> list[dict[str, Any]]:  # Any: what torch's optimizers take
    """Returns a parameter group for each tensor with the `lr_scale` that the run multiplies its rate by.

    Args:
        params: Tensors, in the order of the layers.
        activation: That of the network.

    Raises:
        rk.UserError: When one is neither a layer's matrix nor the bias behind it.

    Examples:
        >>> [group["lr_scale"] for group in groups(torch.nn.Linear(4, 3).parameters(), "relu")]
        [0.25, 1.0]
    """
    found = list(params)
    if not all(isinstance(p, Tensor) for p in found):
        raise UserError("layer-rates: some weights have a rate or a decay of their own already", "~fit.lr_scale")
    left = iter(rates(activation, max(1, sum(p.ndim > 1 for p in found))))
    made, outputs, bias = [], -1, 0.0
    for p in found:
        if p.ndim > 1:
            bias, weight = next(left)
            outputs, scale = len(p), weight / p[0].numel()
        elif p.shape == (outputs,):
            outputs, scale = -1, bias
        else:
            raise UserError(
                f"layer-rates: a parameter of shape {tuple(p.shape)} is neither that of a layer nor its bias",
                "give it an optimizer of its own: optimizer: {'norm.*': {...}, '*': {name: layer-rates, ...}}",
            )
        made.append({"params": [p], "lr_scale": scale})
    return made
