"""The layer `leaky`: neurons that leak, with time constants that are trained."""

# b batch, t time, d width of the model, n neurons

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from rk_timescales.loop import Activation, unroll

START = 0.1
"""Neurons begin a sequence between 0 and this."""


class Leaky(nn.Module):
    """A recurrent layer of leaky neurons, each with a time constant tau of its own (arXiv:2309.12927).

    ``h_t = f((1 - a) h_{t-1} + a (W h_{t-1} + b + x_t))`` with a = 1 / max(tau, 1): after tau steps, a neuron that gets
    nothing has lost most of what it had. W has no self-connections: a neuron's own memory is its tau alone. The state
    is h, (b, n); a sequence begins at random in [0, 0.1) in training, and in the middle of it in evaluation.

    Args:
        d_model: Width of input and output.
        hidden_size: Neurons; null: `d_model`.
        nonlinearity: Where f is: `outer`, around the leak, as above; `inner`, ``(1 - a) h + a f(W h + b + x)``.
        activation: f.
        tau_init: Range of the initial time constants.
        train_tau: Trains the time constants; false keeps the initial ones.
        input_weights: Maps x to the neurons first. false: x is what flows into them, as where a model has projected a
            number to its width already; then `hidden_size` is `d_model`.

    Raises:
        ValueError: When the range of tau begins below 1 or is empty, or `input_weights` is false and the widths differ.

    Examples:
        model: {name: sequence, layer: {name: leaky, input_weights: false}, norm: none, residual: false}

        >>> Leaky(d_model=8)(torch.randn(2, 5, 8)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        *,
        d_model: Annotated[int, Ge(1)],
        hidden_size: Annotated[int, Ge(1)] | None = None,
        nonlinearity: Literal["outer", "inner"] = "outer",
        activation: Activation = "leaky_relu",
        tau_init: tuple[float, float] = (1.0, 2.0),
        train_tau: bool = True,
        input_weights: bool = True,
    ) -> None:
        super().__init__()
        low, high = tau_init
        if not 1 <= low <= high:
            raise ValueError(f"tau_init must be a range from 1 upwards, got {low:g} to {high:g}")
        n = hidden_size or d_model
        if not input_weights and n != d_model:
            raise ValueError(f"without input_weights, hidden_size must be d_model, got {n} and {d_model}")
        self.nonlinearity = nonlinearity
        self.activation: Activation = activation
        self.weight_hh, self.bias_hh = _linear(n, n)
        self.weight_ih: nn.Parameter | None = None
        self.bias_ih: nn.Parameter | None = None
        if input_weights:
            self.weight_ih, self.bias_ih = _linear(n, d_model)
        tau = torch.empty(n).uniform_(low, high)
        if train_tau:
            self.tau: Tensor = nn.Parameter(tau)
            self.tau.no_weight_decay = True  # type: ignore[attr-defined]  # a mark for the runtime
        else:
            self.register_buffer("tau", tau)
        self.out = nn.Identity() if n == d_model else nn.Linear(n, d_model)

    @property
    def time_constants(self) -> Float[Tensor, "n"]:
        """tau as it is used, at least 1; a tau that has fallen below 1 gets no gradient."""
        return self.tau.clamp(min=1)

    @property
    def connections(self) -> Float[Tensor, "n n"]:
        """W: `weight_hh` without its diagonal, which is masked here and never written."""
        return self.weight_hh * (1 - torch.eye(len(self.weight_hh)).to(self.weight_hh))

    def initial_state(self, batch_size: int) -> Float[Tensor, "b n"]:
        """Returns h_0."""
        state = self.bias_hh.new_empty(batch_size, len(self.bias_hh))
        return state.uniform_(0, START) if self.training else state.fill_(START / 2)

    def forward(self, x: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b t d"]:
        """Maps `x` to the same shape; `mask` is True where a step exists."""
        return self.scan(x, self.initial_state(x.shape[0]), mask)[0]

    def scan(
        self, x: Float[Tensor, "b t d"], state: Float[Tensor, "b n"], mask: Bool[Tensor, "b t"] | None = None
    ) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b n"]]:
        """Maps a further piece of any length; see `rk.protocols.StatefulSequenceLayer`."""
        kind = x.device.type
        if torch.is_autocast_enabled(kind):  # a state that is rounded at every step is not what it was a while ago
            with torch.autocast(kind, enabled=False):
                return self.scan(x.to(self.weight_hh.dtype), state, mask)
        a = 1 / self.time_constants
        matrix, gain = self.connections.T, None
        currents = (x if self.weight_ih is None else F.linear(x, self.weight_ih, self.bias_ih)) + self.bias_hh
        if self.nonlinearity == "outer":
            matrix, currents = matrix * a + (1 - a).diag(), currents * a
        else:
            gain = a
        currents = currents.transpose(0, 1)
        if mask is None:
            hidden = unroll(currents, state, matrix, gain, self.activation)
            state = hidden[-1]
        else:
            steps = []
            for current, exists in zip(currents.split(1), mask.T.unsqueeze(-1), strict=True):
                state = torch.where(exists, unroll(current, state, matrix, gain, self.activation)[0], state)
                steps.append(state)
            hidden = torch.stack(steps)
        return self.out(hidden.transpose(0, 1)), state


def _linear(rows: int, columns: int) -> tuple[nn.Parameter, nn.Parameter]:
    """Returns weights and a bias, drawn as those of `torch.nn.Linear`: uniform in +-1/sqrt(columns)."""
    bound = 1 / math.sqrt(columns)
    weight, bias = torch.empty(rows, columns), torch.empty(rows)
    return nn.Parameter(weight.uniform_(-bound, bound)), nn.Parameter(bias.uniform_(-bound, bound))
