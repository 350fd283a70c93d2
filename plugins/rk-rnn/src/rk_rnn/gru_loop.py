"""The GRU with its reset gate before the product, for which there is no fused kernel.

A loop whose backward pass is written out, as in `rk_rnn.lstm_loop`.
"""

# t time, b batch, h hidden

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from rk.transforms import is_transforming


def unroll(
    sums: Float[Tensor, "t b hhh"], hidden: Float[Tensor, "b h"], weight: Float[Tensor, "hhh h"]
) -> Float[Tensor, "t b h"]:
    """Returns h of all steps (Cho et al. 2014, Eq. 5, Eq. 6, Eq. 7 and Eq. 8).

    Args:
        sums: What the inputs add to the sums of r, z and n.
        hidden: h_0.
        weight: State to gates.
    """
    if torch.is_grad_enabled() and len(sums) > 1 and not is_transforming():
        apply: Callable[..., Any] = _Loop.apply  # Any: one tensor, or several
        return apply(sums, hidden, weight)
    to_gates, to_new = weight.T.split([2 * hidden.shape[1], hidden.shape[1]], 1)
    hiddens = []
    for of_input in sums.unbind():
        of_gates, of_new = of_input.split([to_gates.shape[1], to_new.shape[1]], 1)
        r, z = torch.addmm(of_gates, hidden, to_gates).sigmoid().chunk(2, 1)
        hidden = torch.lerp(torch.addmm(of_new, r * hidden, to_new).tanh(), hidden, z)
        hiddens.append(hidden)
    return torch.stack(hiddens)


class _Loop(torch.autograd.Function):
    """`unroll` with its gradient; there are no gradients of gradients."""

    @staticmethod
    def forward(
        ctx: Any, sums: Float[Tensor, "t b hhh"], hidden: Float[Tensor, "b h"], weight: Float[Tensor, "hhh h"]
    ) -> Float[Tensor, "t b h"]:
        t, b, _ = sums.shape
        h = weight.shape[1]
        gates, hiddens, first = torch.empty_like(sums), sums.new_empty(t, b, h), hidden
        for step in range(t):
            of_input, out = sums[step], gates[step]
            torch.addmm(of_input[:, : 2 * h], hidden, weight[: 2 * h].T, out=out[:, : 2 * h])
            r, z, n = out.view(b, 3, h).unbind(1)
            out[:, : 2 * h].sigmoid_()
            torch.addmm(of_input[:, 2 * h :], r * hidden, weight[2 * h :].T, out=n).tanh_()
            hidden = torch.lerp(n, hidden, z, out=hiddens[step])  # (1 - z) n + z h
        ctx.save_for_backward(gates, hiddens, first, weight)
        return hiddens

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_hiddens: Float[Tensor, "t b h"]) -> tuple[Tensor, Tensor, Tensor]:
        gates, hiddens, first, weight = ctx.saved_tensors
        t, b, h = hiddens.shape
        r, z, n = gates.view(t, b, 3, h).unbind(2)
        before = torch.cat([first.unsqueeze(0), hiddens[:-1]])  # h_t-1
        to_reset = before * r * (1 - r)  # what a change of r h_t-1 does to the sum of r
        to_others = torch.stack([(before - n) * z * (1 - z), (1 - z) * (1 - n * n)], 2)  # of h_t, to those of z and n

        d_sums = torch.empty_like(gates)
        blocks = d_sums.view(t, b, 3, h)
        d_hidden = d_hiddens[-1]
        for step in range(t - 1, -1, -1):
            torch.mul(d_hidden.unsqueeze(1), to_others[step], out=blocks[step, :, 1:])
            d_product = blocks[step, :, 2] @ weight[2 * h :]  # of r h_t-1
            torch.mul(d_product, to_reset[step], out=blocks[step, :, 0])
            d_before = torch.addcmul(d_product * r[step], d_hidden, z[step])
            d_hidden = d_before.addmm_(d_sums[step, :, : 2 * h], weight[: 2 * h])
            if step:
                d_hidden += d_hiddens[step - 1]

        flat = d_sums.flatten(0, 1).T
        of_gates = flat[: 2 * h] @ before.flatten(0, 1)
        of_new = flat[2 * h :] @ (r * before).flatten(0, 1)
        return d_sums, d_hidden, torch.cat([of_gates, of_new])
