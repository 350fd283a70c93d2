"""Every cell once more, as its equations are written: gate by gate, step by step, row by row of what exists.

What the tests and the benchmark compare with. Each function takes a layer, whose weights it reads, and does as the
layer's `scan`. Equations are those of arXiv:1506.00019 where it has them.
"""

# b batch, t time, d width of the model, h hidden

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rk_rnn.elman import Elman
from rk_rnn.gru import GRU
from rk_rnn.jordan import Jordan
from rk_rnn.lstm import LSTM

State = tuple[Tensor, ...]
Step = Callable[[Tensor, State], tuple[Tensor, State]]
"""One input and the state before it -> the layer's output and the state after it."""


def elman(
    layer: Elman, x: Float[Tensor, "b t d"], state: Float[Tensor, "b h"], mask: Bool[Tensor, "b t"] | None = None
) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b h"]]:
    """Sec. 3.2."""
    phi = torch.tanh if layer.activation == "tanh" else torch.relu

    def step(x_t: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        context = h.detach() if layer.truncated else h
        h = phi(x_t @ layer.weight_ih.T + layer.bias_ih + context @ layer.weight_hh.T + layer.bias_hh)
        return layer.out(h), (h,)

    y, (h,) = _walk(step, x, (state,), mask)
    return y, h


def jordan(
    layer: Jordan, x: Float[Tensor, "b t d"], state: Float[Tensor, "b d"], mask: Bool[Tensor, "b t"] | None = None
) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b d"]]:
    """Sec. 3.2, with the context of Jordan 1986."""

    def step(x_t: Tensor, state: State) -> tuple[Tensor, State]:
        (s,) = state
        h = torch.tanh(x_t @ layer.weight_ih.T + layer.bias_ih + s @ layer.weight_hh.T + layer.bias_hh)
        y = layer.out(h)
        return y, (layer.self_connection * s + y,)

    y, (s,) = _walk(step, x, (state,), mask)
    return y, s


def lstm(
    layer: LSTM, x: Float[Tensor, "b t d"], state: tuple[Tensor, Tensor], mask: Bool[Tensor, "b t"] | None = None
) -> tuple[Float[Tensor, "b t d"], State]:
    """Sec. 4.1, and the peepholes of Gers and Schmidhuber (2000)."""
    gates = "ifgo" if layer.forget == "gate" else "igo"
    w_x, w_h, b_x, b_h = (dict(zip(gates, w.chunk(len(gates)), strict=True)) for w in layer.weights)
    p = {} if layer.peephole is None else dict(zip(gates.replace("g", ""), layer.peephole, strict=True))

    def step(x_t: Tensor, state: State) -> tuple[Tensor, State]:
        h, s = state

        def gate(name: str, cell: Tensor) -> Tensor:
            total = x_t @ w_x[name].T + b_x[name] + h @ w_h[name].T + b_h[name]
            return torch.sigmoid(total + p[name] * cell if name in p else total)

        g = torch.tanh(x_t @ w_x["g"].T + b_x["g"] + h @ w_h["g"].T + b_h["g"])
        i = gate("i", s)
        f = gate("f", s) if layer.forget == "gate" else 1 - i if layer.forget == "coupled" else torch.ones_like(i)
        s = g * i + s * f
        h = torch.tanh(s) * gate("o", s)  # sees the new s
        return layer.out(h), (h, s)

    return _walk(step, x, state, mask)


def gru(
    layer: GRU, x: Float[Tensor, "b t d"], state: Float[Tensor, "b h"], mask: Bool[Tensor, "b t"] | None = None
) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b h"]]:
    """Cho et al. 2014, arXiv:1406.1078, Eq. 5, Eq. 6, Eq. 7 and Eq. 8; with `reset: after`, as in cuDNN."""
    w_x, w_h, b_x, b_h = (dict(zip("rzn", w.chunk(3), strict=True)) for w in layer.weights)

    def step(x_t: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        r, z = (torch.sigmoid(x_t @ w_x[k].T + b_x[k] + h @ w_h[k].T + b_h[k]) for k in "rz")
        of_state = r * (h @ w_h["n"].T + b_h["n"]) if layer.reset == "after" else (r * h) @ w_h["n"].T + b_h["n"]
        n = torch.tanh(x_t @ w_x["n"].T + b_x["n"] + of_state)
        h = (1 - z) * n + z * h
        return layer.out(h), (h,)

    y, (h,) = _walk(step, x, (state,), mask)
    return y, h


def _walk(step: Step, x: Float[Tensor, "b t d"], state: State, mask: Tensor | None) -> tuple[Tensor, State]:
    """Goes through time; a step that does not exist gives zeros and changes nothing."""
    outputs = []
    for t in range(x.shape[1]):
        y, new = step(x[:, t], state)
        if mask is not None:
            exists = mask[:, t, None]
            y = torch.where(exists, y, 0)
            new = tuple(torch.where(exists, after, before) for after, before in zip(new, state, strict=True))
        outputs.append(y)
        state = new
    return torch.stack(outputs, 1), state


TWINS = {Elman: elman, Jordan: jordan, LSTM: lstm, GRU: gru}
"""Layer class -> its twin; those of `IRNN` are Elman's."""
