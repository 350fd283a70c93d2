"""The layer and the loss as the paper writes them, step by step and head by head: what fast code is compared with."""

# b batch, t time, d width, n neurons

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from rk.fields import IGNORED
from rk_timescales.layer import Leaky
from rk_timescales.loop import ACTIVATIONS


def leaky(layer: Leaky, x: Float[Tensor, "b t d"], state: Float[Tensor, "b n"]) -> Float[Tensor, "b t n"]:
    """Returns h of all steps by the equations; the diagonal of W is zero, and tau at least 1, in each of them."""
    f, states = ACTIVATIONS[layer.activation], []
    for x_t in x.unbind(1):
        weights = layer.weight_hh - layer.weight_hh.diag().diag()
        a = 1 / layer.tau.clamp(min=1)
        driven = x_t if layer.weight_ih is None else F.linear(x_t, layer.weight_ih, layer.bias_ih)
        driven = state @ weights.T + layer.bias_hh + driven
        if layer.nonlinearity == "outer":
            state = f((1 - a) * state + a * driven)
        else:
            state = (1 - a) * state + a * f(driven)
        states.append(state)
    return torch.stack(states, 1)


def head_cross_entropy(logits: Float[Tensor, "b outputs"], targets: Int[Tensor, "b heads"]) -> Tensor:
    """Returns the sum, over the heads that are asked, of the mean cross-entropy of each."""
    total = logits.new_zeros(())
    for head in range(targets.shape[1]):
        if targets[0, head] != IGNORED:
            total = total + F.cross_entropy(logits[:, 2 * head : 2 * head + 2], targets[:, head])
    return total
