"""The gated recurrent unit (Cho et al. 2014, arXiv:1406.1078)."""

# b batch, t time, d width of the model, h hidden

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from rk_rnn.gru_loop import unroll
from rk_rnn.kernels import unrolled
from rk_rnn.masks import last
from rk_rnn.recurrent import Recurrent


class GRU(Recurrent):
    """h_t = (1 - z_t) n_t + z_t h_t-1, with gates r and z, and n_t made of the input and as much of h_t-1 as r lets in.

    Cho et al. 2014, arXiv:1406.1078, Eq. 5, Eq. 6, Eq. 7 and Eq. 8. Rows of the weights: r, z, n. The state is h,
    (batch, hidden_size).

    Args:
        reset: Where r gates h_t-1: `after` the product, n = tanh(W_nx x + r (W_nh h + b)), as cuDNN and torch do;
            `before` it, n = tanh(W_nx x + W_nh (r h) + b), as in the paper. Weights of one do not fit the other.

    Examples:
        model: {name: sequence, layer: {name: gru, reset: before}, d_model: 64}

        >>> GRU(d_model=8)(torch.randn(2, 5, 8)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        *,
        reset: Literal["after", "before"] = "after",
        **sizes: Any,
    ) -> None:
        super().__init__(gates=3, **sizes)
        self.reset = reset

    def _unroll(
        self, x: Float[Tensor, "b t d"], state: Float[Tensor, "b h"], front: Bool[Tensor, "b t"] | None
    ) -> tuple[Float[Tensor, "b t h"], Float[Tensor, "b h"]]:
        if self.reset == "before":
            hidden = self._loop(x, state)
        elif x.shape[1] == 1:
            hidden = torch.gru_cell(x[:, 0], state, *self.weights).unsqueeze(1)
        else:
            hidden, _ = unrolled(torch.gru, x, state.unsqueeze(0), self.weights)
        return hidden, last(hidden, state, front)

    def _loop(self, x: Float[Tensor, "b t d"], hidden: Float[Tensor, "b h"]) -> Float[Tensor, "b t h"]:
        sums = F.linear(x.transpose(0, 1), self.weight_ih, self.bias_ih + self.bias_hh)
        return unroll(sums, hidden, self.weight_hh).transpose(0, 1)
