"""Jordan's network, whose outputs are fed back (Jordan 1986; arXiv:1506.00019, Sec. 3.2)."""

# b batch, t time, d width of the model, h hidden

from __future__ import annotations

from typing import Annotated, Any

import torch
from annotated_types import Ge, Lt
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from rk_rnn.jordan_loop import unroll
from rk_rnn.kernels import unrolled
from rk_rnn.recurrent import Recurrent


class Jordan(Recurrent):
    """h_t = tanh(W_hx x_t + W_hs s_t-1 + b), y_t = W_yh h_t + b_y, and a context s_t = a s_t-1 + y_t of past outputs.

    The output is the layer's, which is linear, and not what a model makes of it. The state is s, (batch, d_model).

    Args:
        d_model: Width of input and output, and so of the context.
        init: How weights begin: `uniform` in +-1/sqrt(hidden_size), or W_hs `orthogonal` with biases 0.
        self_connection: a, the share of its last value that a context unit keeps.

    Examples:
        model: {name: sequence, layer: {name: jordan, self_connection: 0.5}, d_model: 64}

        >>> Jordan(d_model=8)(torch.randn(2, 5, 8)).shape
        torch.Size([2, 5, 8])
    """

    _feeds_back = "output"

    def __init__(
        self,
        *,
        self_connection: Annotated[float, Ge(0), Lt(1)] = 0.5,
        **sizes: Any,
    ) -> None:
        super().__init__(gates=1, **sizes)
        d_model = self.weight_ih.shape[1]
        self.out: nn.Linear = nn.Linear(self.hidden_size, d_model)
        self.self_connection = self_connection

    def initial_state(self, batch_size: int) -> Float[Tensor, "b d"]:
        """Returns s_0 = 0, (b, d)."""
        return self.weight_hh.new_zeros(batch_size, self.weight_hh.shape[1])

    def _unroll(
        self, x: Float[Tensor, "b t d"], state: Float[Tensor, "b d"], front: Bool[Tensor, "b t"] | None
    ) -> tuple[Float[Tensor, "b t h"], Float[Tensor, "b d"]]:
        fed_back = state @ self.weight_hh.T
        if x.shape[1] == 1:
            hidden = self._first(x, fed_back)
            return hidden, self._context(hidden, state, front)
        # What the context adds to the sums, W_hs s_t = a W_hs s_t-1 + (W_hs W_yh) h_t + W_hs b_y, can be carried in
        # place of s: one product a step, and no output is needed before the last one
        back, shift = self.weight_hh @ self.out.weight, self.weight_hh @ self.out.bias
        if self.self_connection:
            sums = F.linear(x.transpose(0, 1), self.weight_ih, self.bias_ih + self.bias_hh)
            hidden = unroll(sums, fed_back, back, shift, self.self_connection).transpose(0, 1)
        else:
            hidden = self._elman(x, fed_back, back, shift)
        return hidden, self._context(hidden, state, front)

    def _first(self, x: Float[Tensor, "b t d"], fed_back: Float[Tensor, "b h"]) -> Float[Tensor, "b 1 h"]:
        return (F.linear(x[:, :1], self.weight_ih, self.bias_ih + self.bias_hh) + fed_back.unsqueeze(1)).tanh()

    def _elman(
        self, x: Float[Tensor, "b t d"], fed_back: Float[Tensor, "b h"], back: Float[Tensor, "h h"], shift: Tensor
    ) -> Float[Tensor, "b t h"]:
        """Without self-connections, all steps but the first are Elman's with weights W_hs W_yh: a fused kernel."""
        first = self._first(x, fed_back)
        weights = self.weight_ih, back, self.bias_ih, self.bias_hh + shift
        rest, _ = unrolled(torch.rnn_tanh, x[:, 1:], first.transpose(0, 1), weights)
        return torch.cat([first, rest], 1)

    def _context(
        self, hidden: Float[Tensor, "b t h"], state: Float[Tensor, "b d"], front: Bool[Tensor, "b t"] | None
    ) -> Float[Tensor, "b d"]:
        """Returns s_n = a^n s_0 + sum_t a^(n-t) y_t, where n is the row's last step."""
        steps = torch.arange(1, hidden.shape[1] + 1, device=hidden.device)
        count = steps[-1:] if front is None else front.sum(1, keepdim=True)
        keep = torch.as_tensor(self.self_connection, dtype=hidden.dtype, device=hidden.device)
        shares = (keep ** (count - steps).clamp(min=0)).masked_fill(steps > count, 0).expand(hidden.shape[0], -1)
        # the sum of outputs is the output of the sum
        total = torch.bmm(shares.unsqueeze(1), hidden).squeeze(1) @ self.out.weight.T
        return keep**count * state + total + shares.sum(1, keepdim=True) * self.out.bias
