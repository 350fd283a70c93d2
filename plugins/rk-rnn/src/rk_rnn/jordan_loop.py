"""A tanh network whose feedback is a leaky sum: Jordan's, with its output folded into the weights.

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
    sums: Float[Tensor, "t b h"],
    fed_back: Float[Tensor, "b h"],
    weight: Float[Tensor, "h h"],
    shift: Float[Tensor, "h"],
    keep: float,
) -> Float[Tensor, "t b h"]:
    """Returns h_t = tanh(sums_t + u_t-1) of all steps, where u_t = a u_t-1 + W h_t + shift.

    Args:
        sums: What the inputs add.
        fed_back: u_0.
        weight: W.
        shift: What is added to every u.
        keep: a.
    """
    if torch.is_grad_enabled() and not is_transforming():
        apply: Callable[..., Any] = _Loop.apply  # Any: one tensor, or several
        return apply(sums, fed_back, weight, shift, keep)
    hiddens = []
    for of_input in sums.unbind():
        hiddens.append((of_input + fed_back).tanh())
        fed_back = torch.addmm(torch.add(shift, fed_back, alpha=keep), hiddens[-1], weight.T)
    return torch.stack(hiddens)


class _Loop(torch.autograd.Function):
    """`unroll` with its gradient; there are no gradients of gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        sums: Float[Tensor, "t b h"],
        fed_back: Float[Tensor, "b h"],
        weight: Float[Tensor, "h h"],
        shift: Float[Tensor, "h"],
        keep: float,
    ) -> Float[Tensor, "t b h"]:
        hiddens = torch.empty_like(sums)
        for of_input, out in zip(sums, hiddens, strict=True):
            hidden = torch.add(of_input, fed_back, out=out).tanh_()
            fed_back = torch.add(shift, fed_back, alpha=keep).addmm_(hidden, weight.T)
        ctx.save_for_backward(hiddens, weight)
        ctx.keep = keep
        return hiddens

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_hiddens: Float[Tensor, "t b h"]) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        hiddens, weight = ctx.saved_tensors
        slope = 1 - hiddens * hiddens
        d_sums = torch.empty_like(hiddens)
        d_fed_back = torch.zeros_like(hiddens)  # of u_t; nothing reads the last one
        torch.mul(d_hiddens[-1], slope[-1], out=d_sums[-1])
        for step in range(len(hiddens) - 2, -1, -1):
            later = torch.add(d_sums[step + 1], d_fed_back[step + 1], alpha=ctx.keep, out=d_fed_back[step])
            torch.mul(torch.addmm(d_hiddens[step], later, weight), slope[step], out=d_sums[step])
        first = torch.add(d_sums[0], d_fed_back[0], alpha=ctx.keep)
        flat = d_fed_back.flatten(0, 1)
        return d_sums, first, flat.T @ hiddens.flatten(0, 1), flat.sum(0), None
