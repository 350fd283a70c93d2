"""The bases of all cells: masks; weights with torch's names and shapes, and projections."""

# b batch, t time, d width of the model, h hidden, g gates

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from jaxtyping import Bool, Float
from torch import Tensor, nn

from rk_rnn.masks import at_front, put_back, to_front

Weights = tuple[Tensor, Tensor, Tensor, Tensor]
"""Input to gates, state to gates, and a bias of each: in this order wherever torch takes them."""


class Masked(nn.Module, ABC):
    """A layer that reads step by step, and is given which steps exist: `forward` and `scan` around an `_unroll`.

    A layer has `initial_state`, and `out`, which maps h to the layer's width.
    """

    weight_hh: nn.Parameter
    out: Callable[[Tensor], Tensor]

    @abstractmethod
    def initial_state(self, batch_size: int) -> Any:
        """Returns the state before the first step."""

    def forward(self, x: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b t d"]:
        """Maps all steps, from the initial state; a step that `mask` leaves out gives zeros."""
        return self.scan(x, self.initial_state(x.shape[0]), mask)[0]

    def scan(
        self, x: Float[Tensor, "b t d"], state: Any, mask: Bool[Tensor, "b t"] | None = None
    ) -> tuple[Float[Tensor, "b t d"], Any]:
        """Maps a further piece of any length; a step that `mask` leaves out gives zeros and keeps the state.

        Args:
            x: (batch, time, d_model).
            state: What `initial_state` or the last call returned.
            mask: (batch, time), True where a step exists.

        Returns:
            The output, of `x`'s shape, and the state after the last step.
        """
        kind = x.device.type
        if torch.is_autocast_enabled(kind):  # a state that is rounded at every step is not what it was a while ago
            with torch.autocast(kind, enabled=False):
                return self.scan(x.to(self.weight_hh.dtype), state, mask)
        if mask is None:
            hidden, state = self._unroll(x, state, None)
            return self.out(hidden), state
        front = at_front(mask)
        hidden, state = self._unroll(to_front(x, mask).masked_fill(~front.unsqueeze(-1), 0), state, front)
        return self.out(put_back(hidden, mask)).masked_fill(~mask.unsqueeze(-1), 0), state

    @abstractmethod
    def _unroll(
        self, x: Float[Tensor, "b t d"], state: Any, front: Bool[Tensor, "b t"] | None
    ) -> tuple[Float[Tensor, "b t h"], Any]:
        """Returns h of every step and the state after the last one; `front` is True up to each row's last step."""


class Recurrent(Masked):
    """A layer whose output at a step is a linear map of a hidden vector, which it updates from step to step.

    The parameters have the names and the shapes of `torch.nn.LSTMCell` and its kin, one block of rows per gate, so that
    weights go from here to there and back.

    Args:
        d_model: Width of input and output.
        gates: Blocks of rows in the weights.
        hidden_size: Width of the hidden vector h; null: `d_model`.
        init: How weights begin: `uniform` in +-1/sqrt(hidden_size), or `orthogonal` from state to state with biases 0.
    """

    renamed = {"start": "init"}

    _feeds_back: Literal["hidden", "output"] = "hidden"
    """The state that `weight_hh` maps."""

    def __init__(
        self,
        *,
        d_model: Annotated[int, Ge(1)],
        gates: int,
        hidden_size: Annotated[int, Ge(1)] | None = None,
        init: Literal["uniform", "orthogonal"] = "uniform",
    ) -> None:
        super().__init__()
        self.hidden_size = h = hidden_size or d_model
        self.weight_ih = nn.Parameter(torch.empty(gates * h, d_model))
        self.weight_hh = nn.Parameter(torch.empty(gates * h, h if self._feeds_back == "hidden" else d_model))
        self.bias_ih = nn.Parameter(torch.zeros(gates * h))
        self.bias_hh = nn.Parameter(torch.zeros(gates * h))
        self.out = nn.Identity() if h == d_model else nn.Linear(h, d_model)
        bound = 1 / math.sqrt(h)
        nn.init.uniform_(self.weight_ih, -bound, bound)
        if init == "uniform":
            for parameter in (self.weight_hh, self.bias_ih, self.bias_hh):
                nn.init.uniform_(parameter, -bound, bound)
        else:
            for block in self.weight_hh.chunk(gates):
                nn.init.orthogonal_(block)

    @property
    def weights(self) -> Weights:
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh

    def initial_state(self, batch_size: int) -> Any:
        """Returns h_0 = 0, (b, h); layers with another state override it."""
        return self.weight_hh.new_zeros(batch_size, self.hidden_size)
