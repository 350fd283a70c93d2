"""Long short-term memory, with the gates of 1997, of 2000, and between (arXiv:1506.00019, Sec. 4.1)."""

# b batch, t time, d width of the model, h hidden

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from rk_rnn.kernels import unrolled
from rk_rnn.lstm_loop import unroll
from rk_rnn.masks import last
from rk_rnn.recurrent import Recurrent, Weights

State = tuple[Tensor, Tensor]
"""h and s, (b, h) each."""

_OPEN = 1e3
"""A sum at which the logistic function is 1 without rounding, and 0 at its negative, in any floating-point type."""


class LSTM(Recurrent):
    """s_t = f_t s_t-1 + i_t g_t and h_t = o_t tanh(s_t): a memory cell that gates protect.

    g = tanh(...); i, f, o = sigmoid(...), each of W x_t + W h_t-1 + b. Rows of the weights: i, f, g, o; without a
    forget gate of its own i, g, o. The state is h and s, (batch, hidden_size) each.

    Args:
        forget: `gate` is the usual form (Gers et al. 2000); `none` keeps all, f = 1, as in 1997; `coupled` forgets as
            much as it takes in, f = 1 - i.
        peepholes: Whether gates see the cell: i and f see s_t-1, o sees s_t (Gers and Schmidhuber 2000).
        forget_bias: Where the bias of the forget gate begins: at 1, nothing is forgotten fast. null leaves that to
            `init`.

    Examples:
        model: {name: sequence, layer: {name: lstm, peepholes: true}, d_model: 64}

        >>> LSTM(d_model=8)(torch.randn(2, 5, 8)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        *,
        forget: Literal["gate", "none", "coupled"] = "gate",
        peepholes: bool = False,
        forget_bias: float | None = 1.0,
        **sizes: Any,
    ) -> None:
        super().__init__(gates=4 if forget == "gate" else 3, **sizes)
        self.forget = forget
        h = self.hidden_size
        if forget_bias is not None and forget != "none":
            rows, bias = (slice(h, 2 * h), forget_bias) if forget == "gate" else (slice(0, h), -forget_bias)
            self.bias_ih.data[rows] = bias  # there are two biases: one is set, the other is zero
            self.bias_hh.data[rows] = 0
        # diagonal: a gate sees its own cell alone; rows i, f, o, as far as there are such gates
        self.peephole = nn.Parameter(torch.zeros(3 if forget == "gate" else 2, h)) if peepholes else None

    def initial_state(self, batch_size: int) -> State:
        """Returns h_0 = s_0 = 0, two tensors (b, h)."""
        zeros = self.weight_hh.new_zeros(batch_size, self.hidden_size)
        return zeros, zeros.clone()

    def _unroll(
        self, x: Float[Tensor, "b t d"], state: State, front: Bool[Tensor, "b t"] | None
    ) -> tuple[Float[Tensor, "b t h"], State]:
        if self.peephole is not None:
            hidden, cell = self._loop(x, state, self.peephole, front)
        elif x.shape[1] == 1 and front is None:
            one, cell = torch.lstm_cell(x[:, 0], state, *self._four_gates())
            return one.unsqueeze(1), (one, cell)
        else:
            weights = self._four_gates()
            if front is not None:
                x, weights = held(x, front, weights)
            hidden, _, cell = unrolled(torch.lstm, x, tuple(s.unsqueeze(0) for s in state), weights)
            cell = cell[0]
        return hidden, (last(hidden, state[0], front), cell)

    def _four_gates(self) -> Weights:
        """Returns weights of an LSTM with four gates that does the same, so that torch's kernel does for all forms.

        A forget gate that is always open has no weights and a large bias; and 1 - sigmoid(a) is sigmoid(-a).
        """
        if self.forget == "gate":
            return self.weights
        wide = []
        for place, rows in enumerate(self.weights):
            i, rest = rows[: self.hidden_size], rows[self.hidden_size :]
            if self.forget == "coupled":
                f = -i
            else:
                f = torch.full_like(i, _OPEN if place == 2 else 0.0)  # in one bias
            wide.append(torch.cat([i, f, rest]))
        weight_ih, weight_hh, bias_ih, bias_hh = wide
        return weight_ih, weight_hh, bias_ih, bias_hh

    def _loop(
        self, x: Float[Tensor, "b t d"], state: State, peephole: Tensor, front: Bool[Tensor, "b t"] | None
    ) -> tuple[Float[Tensor, "b t h"], Float[Tensor, "b h"]]:
        """Step by step, with all products with inputs in one, and one product of all gates a step."""
        sums = F.linear(x.transpose(0, 1), self.weight_ih, self.bias_ih + self.bias_hh)
        front = None if front is None else front.T
        hidden, cell = unroll(sums, *state, self.weight_hh, peephole, front, self.forget)
        return hidden.transpose(0, 1), cell


def held(
    x: Float[Tensor, "b t d"], front: Bool[Tensor, "b t"], weights: Weights
) -> tuple[Float[Tensor, "b t wider"], Weights]:
    """Lets the cells stay as they are after a row's last step, without a kernel that knows of masks.

    A further input is 1 from there on, while the others are 0; it shuts the input gate and opens the forget gate.
    """
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    h = len(weight_ih) // 4
    over = weight_ih.new_zeros(len(weight_ih), 1)
    over[:h], over[h : 2 * h] = -_OPEN, _OPEN
    return torch.cat([x, (~front).unsqueeze(-1).to(x)], -1), (
        torch.cat([weight_ih, over], 1),
        weight_hh,
        bias_ih,
        bias_hh,
    )
