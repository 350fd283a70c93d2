"""Elman's simple recurrent network (Elman 1990; arXiv:1506.00019, Sec. 3.2)."""

# b batch, t time, d width of the model, h hidden

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from rk_rnn.kernels import unrolled
from rk_rnn.masks import last
from rk_rnn.recurrent import Recurrent

_KERNELS = {"tanh": (torch.rnn_tanh, torch.rnn_tanh_cell), "relu": (torch.rnn_relu, torch.rnn_relu_cell)}


class Elman(Recurrent):
    """h_t = phi(W_hx x_t + W_hh h_t-1 + b), the network that cannot keep what it has seen for long.

    Its state is h, (batch, hidden_size).

    Args:
        activation: phi.
        truncated: Learns as in 1990: the context is a copy of h_t-1 that no gradient goes through, so that only what a
            step itself has seen is trained. All steps then learn at once. false: backpropagation through time.

    Examples:
        model: {name: sequence, layer: {name: elman, truncated: true}, d_model: 64}

        >>> Elman(d_model=8)(torch.randn(2, 5, 8)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        *,
        activation: Literal["tanh", "relu"] = "tanh",
        truncated: bool = False,
        **sizes: Any,
    ) -> None:
        super().__init__(gates=1, **sizes)
        self.activation = activation
        self.truncated = truncated

    def _unroll(
        self, x: Float[Tensor, "b t d"], state: Float[Tensor, "b h"], front: Bool[Tensor, "b t"] | None
    ) -> tuple[Float[Tensor, "b t h"], Float[Tensor, "b h"]]:
        kernel, cell = _KERNELS[self.activation]
        if self.truncated:
            hidden = self._truncated(x, state)
        elif x.shape[1] == 1:
            hidden = cell(x[:, 0], state, *self.weights).unsqueeze(1)
        else:
            hidden, _ = unrolled(kernel, x, state.unsqueeze(0), self.weights)
        return hidden, last(hidden, state, front)

    def _truncated(self, x: Float[Tensor, "b t d"], state: Float[Tensor, "b h"]) -> Float[Tensor, "b t h"]:
        """Runs through time without gradients; with all contexts known, every step is then the same two products."""
        kernel, _ = _KERNELS[self.activation]
        with torch.no_grad():
            hidden, _ = unrolled(kernel, x, state.unsqueeze(0), self.weights)
            context = torch.cat([state.unsqueeze(1), hidden[:, :-1]], 1)
        sums = F.linear(x, self.weight_ih, self.bias_ih) + F.linear(context, self.weight_hh, self.bias_hh)
        return sums.tanh() if self.activation == "tanh" else sums.relu()
