"""The layer `plstm-2d`: pLSTM on the grid of an image, in four directions at once."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float
from torch import Tensor, nn

from rk_plstm.gates import ORIENTATIONS, GridGates
from rk_plstm.layer import GateMap, Gates, HeadMap
from rk_plstm.ops import plstm_2d

# b batch, i, o channels, h height, w width


class PLSTM2D(nn.Module):
    """pLSTM on a grid (arXiv:2506.11997): states on the edges to the next position, right and down.

    Four orientations, the mirrored grids, have gates of their own and share queries, keys and values; their outputs are
    added. Two ways keep sums over all paths bounded:

    - P, propagation: what enters is divided between right and down, by an angle of each head, so that it travels along
      a line across the whole image.
    - D, distribution: states from above may turn right, those from the left never turn down. So there is one path
      between two positions, and each transition is free within -1 and 1.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: Every how many-th position answers, in both directions.
        mode: `P` or `D`.
        num_heads: Heads.
        head_dim: Width of a head; null: `in_channels` / `num_heads`.
        gates: Whether gates depend on the `input` or are `constant`, the control.
        source_bias: Of the sigmoid of S at first.
        mark_bias: Of that of M.
        direct_bias: Of that of D.
        transition_factor: T is the tanh of so many times ``1 + w x`` at first.

    Raises:
        ValueError: When the heads do not divide `in_channels` and `head_dim` is null.

    Examples:
        model: {name: vit, mixers: [{name: plstm-2d, mode: P}, {name: plstm-2d, mode: D}], pool: corners}

        >>> PLSTM2D(in_channels=8, out_channels=16)(torch.randn(2, 8, 3, 5)).shape
        torch.Size([2, 16, 3, 5])
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        stride: Annotated[int, Ge(1)] = 1,
        mode: Literal["P", "D"] = "P",
        num_heads: Annotated[int, Ge(1)] = 4,
        head_dim: Annotated[int, Ge(1)] | None = None,
        gates: Gates = "input",
        source_bias: float = -4.0,
        mark_bias: float = -4.0,
        direct_bias: float = -6.0,
        transition_factor: Annotated[float, Gt(0)] = 5.0,
    ) -> None:
        super().__init__()
        self.heads = HeadMap(in_channels, out_channels, num_heads, head_dim)
        self.stride = stride
        self.mode = mode
        self.transition_factor = transition_factor
        if mode == "P":  # transition, source, mark, angle
            first = torch.tensor([1.0, source_bias, mark_bias, 0.0]).repeat(num_heads, len(ORIENTATIONS), 1)
            first[..., 3] = torch.linspace(-2, 2, num_heads).unsqueeze(1)
        else:  # right to right, down to right, down to down; source right, down; mark right, down
            numbers = [1.0] * 3 + [source_bias] * 2 + [mark_bias] * 2
            first = torch.tensor(numbers).repeat(num_heads, len(ORIENTATIONS), 1)
        self.gates = GateMap(in_channels, first, gates)
        self.direct = GateMap(in_channels, torch.full((num_heads,), direct_bias), gates)

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h2 w2"]:
        """Maps an image of any size."""
        x = x.movedim(1, -1)
        y = plstm_2d(*self.heads.project(x), self.gate_values(x), self.direct(x).sigmoid())
        return self.heads(y[..., :: self.stride, :: self.stride, :]).movedim(-1, 1)

    def gate_values(self, x: Float[Tensor, "b h w i"]) -> GridGates:
        """Returns the gates of edges, each (b, heads, 4 orientations, h, w); constant ones have a batch of 1."""
        numbers = self.gates(x).unbind(3)
        if self.mode == "P":
            transition, angle = (self.transition_factor * numbers[0]).tanh(), self._angle(numbers[3])
            source, mark = numbers[1].sigmoid(), numbers[2].sigmoid()
            right, down, source_right = angle * transition, 1 - angle * transition, angle * source
            return GridGates(right, right, down, down, source_right, 1 - source_right, mark, mark)
        right, turn, down = ((self.transition_factor * number).tanh() for number in numbers[:3])
        return GridGates(right, turn, down, torch.zeros_like(turn), *(number.sigmoid() for number in numbers[3:]))

    def _angle(self, number: Tensor) -> Tensor:
        """Returns the share that goes right; what depends on the input is divided by twice its width."""
        bias = self.gates.bias[..., 3, None, None]
        return (bias + (number - bias) / (2 * self.heads.in_proj.in_features)).sigmoid()
