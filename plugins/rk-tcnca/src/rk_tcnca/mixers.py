"""What reaches beyond a chunk: dilated convolutions, MEGA's damped EMA, or nothing. All are causal and linear."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from rk_tcnca.convolution import causal_filter, dilated_stack, histories, shifted_stack

# b batch, t time, c channels, n order of the EMA


class Mixer(nn.Module):
    """A causal mixer that is nothing: each step sees itself alone.

    Args:
        d_model: Channels.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.omega = nn.Parameter(torch.randn(d_model))

    def forward(self, x: Float[Tensor, "b t c"]) -> Float[Tensor, "b t c"]:
        """Returns ``mix(x) + omega x`` of whole sequences."""
        return self.omega * x

    def initial_state(self, batch_size: int) -> Any:
        """Returns the state before the first step."""
        return ()

    def scan(self, x: Float[Tensor, "b t c"], state: Any, exists: Bool[Tensor, "b t"]) -> tuple[Tensor, Any]:
        """Maps a further piece; of each row, the steps that exist come first. Returns the outputs and the state."""
        return self(x), state


class Convolutions(Mixer):
    """A stack of dilated causal convolutions, channel by channel (TCNCA).

    Args:
        d_model: Channels.
        taps: Of each convolution.
        dilation: The i-th convolution has the dilation ``dilation^i``.
        depth: Convolutions.
    """

    def __init__(self, d_model: int, taps: int, dilation: int, depth: int) -> None:
        super().__init__(d_model)
        self.dilation = dilation
        # the variance of a signal passes through the stack: k taps with variance 1 / k each
        self.weight = nn.Parameter(torch.empty(depth, d_model, taps).uniform_(-1, 1) * math.sqrt(3 / taps))

    def forward(self, x: Float[Tensor, "b t c"]) -> Float[Tensor, "b t c"]:
        """Returns the outputs of the stack."""
        return shifted_stack(x, self.weight, self.dilation) + self.omega * x

    def initial_state(self, batch_size: int) -> Any:
        """Returns the inputs that the convolutions see before the first step: zeros."""
        return histories(self.weight, self.dilation, batch_size)

    def scan(self, x: Float[Tensor, "b t c"], state: Any, exists: Bool[Tensor, "b t"]) -> tuple[Tensor, Any]:
        """Maps a further piece; what a row sees afterwards ends with its own last step."""
        y, state = dilated_stack(x, self.weight, self.dilation, state, exists.sum(1))
        return y + self.omega * x, state


class DampedEMA(Mixer):
    """MEGA's multi-dimensional damped exponential moving average (arXiv:2209.10655, Sec. 3.1).

    Args:
        d_model: Channels.
        order: Averages of each channel.
    """

    def __init__(self, d_model: int, order: int) -> None:
        super().__init__(d_model)
        sign = torch.ones(order)
        sign[1::2] = -1
        self.delta = nn.Parameter(0.2 * torch.randn(d_model, order))
        self.alpha = nn.Parameter(0.2 * torch.randn(d_model, order))
        self.beta = nn.Parameter(sign + 0.02 * torch.randn(d_model, order))
        self.gamma = nn.Parameter(torch.randn(d_model, order))

    def _rates(self) -> tuple[Tensor, Tensor, Tensor]:
        """Returns what each average keeps, what it takes of an input, and what of it is read, (c, n) each."""
        p = self.delta.sigmoid()
        return 1 - p * self.alpha.sigmoid(), p * self.beta, self.gamma / math.sqrt(self.gamma.shape[1])

    def kernel(self, length: int) -> Float[Tensor, "c t"]:
        """Returns the filter that the averages are."""
        keep, take, read = self._rates()
        powers = keep.unsqueeze(-1) ** torch.arange(length, device=keep.device)
        return torch.einsum("cn,cnt->ct", take * read, powers)

    def forward(self, x: Float[Tensor, "b t c"]) -> Float[Tensor, "b t c"]:
        """Returns the averages of whole sequences, by FFT."""
        return causal_filter(x, self.kernel(x.shape[1])) + self.omega * x

    def initial_state(self, batch_size: int) -> Any:
        """Returns averages of nothing: zeros of (batch, channels, order)."""
        return self.gamma.new_zeros(batch_size, *self.gamma.shape)

    def scan(self, x: Float[Tensor, "b t c"], state: Any, exists: Bool[Tensor, "b t"]) -> tuple[Tensor, Any]:
        """Maps a further piece."""
        keep, take, read = self._rates()
        t, count = x.shape[1], exists.sum(1)
        powers = keep.unsqueeze(-1) ** torch.arange(1, t + 1, device=x.device)  # (c, n, t)
        kept = torch.einsum("bcn,cnt->btc", state * read, powers)
        y = causal_filter(x, self.kernel(t)) + kept + self.omega * x
        inputs = x * exists.unsqueeze(-1)
        # an input of step s has been kept for count - 1 - s steps
        age = (count.unsqueeze(1) - 1 - torch.arange(t, device=x.device)).clamp(min=0)
        weight = keep.unsqueeze(-1) ** age[:, None, None]  # (b, c, n, t)
        state = state * keep ** count.view(-1, 1, 1) + take * torch.einsum("bcnt,btc->bcn", weight, inputs)
        return y, state
