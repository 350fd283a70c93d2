"""The LSTM with peepholes, for which there is no fused kernel: a loop whose backward pass is written out.

Backpropagation through time (arXiv:1506.00019, Sec. 3.3) is a chain of small products; everything else in it is known
when the chain begins, and computed for all steps at once: the derivatives of the gates before it, the gradients of the
weights after it. Autograd would do both step by step.
"""

# t time, b batch, h hidden, g gates

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from rk.transforms import is_transforming

Forget = Literal["gate", "none", "coupled"]


def unroll(
    sums: Float[Tensor, "t b gh"],
    hidden: Float[Tensor, "b h"],
    cell: Float[Tensor, "b h"],
    weight: Float[Tensor, "gh h"],
    peephole: Float[Tensor, "p h"],
    front: Bool[Tensor, "t b"] | None,
    forget: Forget,
) -> tuple[Float[Tensor, "t b h"], Float[Tensor, "b h"]]:
    """Returns h of all steps and the last s.

    Args:
        sums: What the inputs add to the sums of the gates: i, f, g, o, or i, g, o.
        hidden: h_0.
        cell: s_0.
        weight: State to gates.
        peephole: Rows i, f, o, or i, o.
        front: True up to each row's last step, after which its s stays; None: all steps exist.
        forget: As in `LSTM`.
    """
    if torch.is_grad_enabled() and len(sums) > 1 and not is_transforming():
        apply: Callable[..., Any] = _Loop.apply  # Any: one tensor, or several
        return apply(sums, hidden, cell, weight, peephole, front, forget)
    p_i, *p_f, p_o = peephole
    hiddens = []
    for step, of_input in enumerate(sums.unbind()):
        i, *gates, g, o = torch.addmm(of_input, hidden, weight.T).chunk(len(weight) // hidden.shape[1], 1)
        i = torch.addcmul(i, p_i, cell).sigmoid()
        if gates:
            f = torch.addcmul(gates[0], p_f[0], cell).sigmoid()
        else:
            f = 1 - i if forget == "coupled" else torch.ones_like(i)
        new = torch.addcmul(f * cell, i, g.tanh())
        cell = new if front is None else torch.where(front[step, :, None], new, cell)
        hidden = torch.addcmul(o, p_o, cell).sigmoid() * cell.tanh()  # the output gate sees the new cell
        hiddens.append(hidden)
    return torch.stack(hiddens), cell


class _Loop(torch.autograd.Function):
    """`unroll` with its gradient; there are no gradients of gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        sums: Float[Tensor, "t b gh"],
        hidden: Float[Tensor, "b h"],
        cell: Float[Tensor, "b h"],
        weight: Float[Tensor, "gh h"],
        peephole: Float[Tensor, "p h"],
        front: Bool[Tensor, "t b"] | None,
        forget: Forget,
    ) -> tuple[Float[Tensor, "t b h"], Float[Tensor, "b h"]]:
        t, b, _ = sums.shape
        h = weight.shape[1]
        gates = torch.empty_like(sums)
        hiddens, cells = sums.new_empty(t, b, h), sums.new_empty(t, b, h)
        first = hidden, cell
        p_i, *p_f, p_o = peephole
        for step in range(t):
            blocks = torch.addmm(sums[step], hidden, weight.T, out=gates[step]).view(b, -1, h)
            i, *f, g, o = blocks.unbind(1)
            i.addcmul_(p_i, cell).sigmoid_()
            g.tanh_()
            if forget == "gate":
                new = torch.mul(f[0].addcmul_(p_f[0], cell).sigmoid_(), cell).addcmul_(i, g)
            elif forget == "coupled":
                new = torch.lerp(cell, g, i)
            else:
                new = torch.addcmul(cell, i, g)
            if front is not None:
                new = torch.where(front[step, :, None], new, cell)
            cell = cells[step].copy_(new)
            o.addcmul_(p_o, cell).sigmoid_()
            hidden = torch.mul(cell.tanh(), o, out=hiddens[step])
        ctx.save_for_backward(gates, hiddens, cells, *first, weight, peephole, front)
        ctx.forget = forget
        return hiddens, cell.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_hiddens: Float[Tensor, "t b h"], d_cell: Float[Tensor, "b h"]) -> tuple[Any, ...]:
        gates, hiddens, cells, first_hidden, first_cell, weight, peephole, front = ctx.saved_tensors
        t, b, h = hiddens.shape
        i, *f, g, o = gates.view(t, b, -1, h).unbind(2)
        p_i, *p_f, p_o = peephole
        before = torch.cat([first_cell.unsqueeze(0), cells[:-1]])  # s_t-1

        # what a change of s_t does to the gates' sums (all but o's), and through them and f to s_t-1
        if ctx.forget == "gate":
            of_cell = [g * i * (1 - i), before * f[0] * (1 - f[0]), i * (1 - g * g)]
            passed = f[0] + of_cell[0] * p_i + of_cell[1] * p_f[0]
        else:
            of_cell = [(g - before if ctx.forget == "coupled" else g) * i * (1 - i), i * (1 - g * g)]
            passed = of_cell[0] * p_i + (1 - i if ctx.forget == "coupled" else 1)
        to_gates = torch.stack(of_cell, 2)
        if front is not None:
            to_gates = to_gates * front[..., None, None]
            passed = torch.where(front.unsqueeze(-1), passed, 1)
        # what a change of h_t does to the sum of o, and to s_t directly and through o's peephole
        tanh = cells.tanh()
        to_output = tanh * o * (1 - o)
        to_cell = o * (1 - tanh * tanh) + to_output * p_o

        d_sums = torch.empty_like(gates)
        blocks = d_sums.view(t, b, -1, h)
        d_hidden, d_cell = d_hiddens[-1], d_cell.clone()
        for step in range(t - 1, -1, -1):
            torch.mul(d_hidden, to_output[step], out=blocks[step, :, -1])
            d_cell.addcmul_(d_hidden, to_cell[step])
            torch.mul(d_cell.unsqueeze(1), to_gates[step], out=blocks[step, :, :-1])
            d_cell.mul_(passed[step])
            d_hidden = torch.addmm(d_hiddens[step - 1], d_sums[step], weight) if step else d_sums[0] @ weight

        context = torch.cat([first_hidden.unsqueeze(0), hiddens[:-1]])  # h_t-1
        d_weight = d_sums.flatten(0, 1).T @ context.flatten(0, 1)
        seen = [blocks[:, :, k] * before for k in range(len(of_cell) - 1)] + [blocks[:, :, -1] * cells]
        d_peephole = torch.stack([one.sum((0, 1)) for one in seen])
        return d_sums, d_hidden, d_cell, d_weight, d_peephole, None, None
