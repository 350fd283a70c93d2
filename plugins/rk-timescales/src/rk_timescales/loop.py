"""The recurrence of leaky neurons: one product and one nonlinearity a step, and a backward pass that is written out.

With the nonlinearity outside, leak and weights are one matrix, so that a step is ``f(current + h M)``. The gradient of
the matrix is one product over all steps, after the chain of small ones; autograd would add it up step by step.
"""

# t time, b batch, n neurons

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from rk.transforms import is_transforming

Activation = Literal["leaky_relu", "relu", "tanh", "sigmoid"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "leaky_relu": F.leaky_relu_,  # the slope below 0 is 0.01, as in the paper
    "relu": torch.relu_,
    "tanh": torch.tanh_,
    "sigmoid": torch.sigmoid_,
}
"""f by name; each writes into what it is given."""
_SLOPES: dict[str, Callable[[Tensor], Tensor]] = {
    "leaky_relu": lambda y: torch.where(y > 0, 1.0, 0.01).to(y),
    "relu": lambda y: (y > 0).to(y),
    "tanh": lambda y: 1 - y * y,
    "sigmoid": lambda y: y * (1 - y),
}
"""Derivative of each activation, from its value."""


def unroll(
    currents: Float[Tensor, "t b n"],
    state: Float[Tensor, "b n"],
    matrix: Float[Tensor, "n n"],
    gain: Float[Tensor, "n"] | None,
    activation: Activation,
) -> Float[Tensor, "t b n"]:
    """Returns h of all steps: ``f(c_t + h_{t-1} M)``, or with a gain a, ``(1 - a) h_{t-1} + a f(c_t + h_{t-1} M)``.

    Args:
        currents: c, what the inputs add.
        state: h_0.
        matrix: M.
        gain: a, of each neuron; None: the first form.
        activation: f.
    """
    if torch.is_grad_enabled() and len(currents) > 1 and not is_transforming():
        apply: Callable[..., Tensor] = _Loop.apply
        return apply(currents, state, matrix, gain, activation)
    f, states = ACTIVATIONS[activation], []
    for current in currents.unbind():
        new = f(torch.addmm(current, state, matrix))
        state = new if gain is None else torch.lerp(state, new, gain)
        states.append(state)
    return torch.stack(states)


class _Loop(torch.autograd.Function):
    """`unroll` with its gradient; there are no gradients of gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        currents: Float[Tensor, "t b n"],
        state: Float[Tensor, "b n"],
        matrix: Float[Tensor, "n n"],
        gain: Float[Tensor, "n"] | None,
        activation: Activation,
    ) -> Float[Tensor, "t b n"]:
        f = ACTIVATIONS[activation]
        t, b, n = currents.shape
        states = currents.new_empty(t + 1, b, n)
        states[0] = state
        fired = states[1:] if gain is None else currents.new_empty(t, b, n)
        for step in range(t):
            f(torch.addmm(currents[step], states[step], matrix, out=fired[step]))
            if gain is not None:
                torch.lerp(states[step], fired[step], gain, out=states[step + 1])
        ctx.save_for_backward(states, fired, matrix, gain)
        ctx.activation = activation
        return states[1:].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_states: Float[Tensor, "t b n"]) -> tuple[Any, ...]:
        states, fired, matrix, gain = ctx.saved_tensors
        slopes = _SLOPES[ctx.activation](fired)
        if gain is not None:
            slopes *= gain
        d_sums = torch.empty_like(fired)
        d_all = d_sums if gain is None else torch.empty_like(fired)  # of each h, for the gain's gradient
        d_state = d_states[-1]
        for step in range(len(fired) - 1, -1, -1):
            torch.mul(d_state, slopes[step], out=d_sums[step])
            passed = d_states[step - 1] if step else torch.zeros_like(d_state)
            if gain is not None:
                d_all[step] = d_state
                passed = torch.addcmul(passed, d_state, 1 - gain)
            d_state = torch.addmm(passed, d_sums[step], matrix.T)
        d_matrix = states[:-1].flatten(0, 1).T @ d_sums.flatten(0, 1)
        d_gain = None if gain is None else (d_all * (fired - states[:-1])).sum((0, 1))
        return d_sums, d_state, d_matrix, d_gain, None
