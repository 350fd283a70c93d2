"""The position-wise network behind attention: of dense matrices, or of ridge functions that are never expanded."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

ROWS = 2**21
"""Numbers that are held at once when ridges are evaluated: rows times ridges."""


class FeedForward(nn.Module):
    """Eq. 2: ``W_2 relu(W_1 z + b_1) + b_2``, position by position.

    Args:
        d_model: Width of the input.
        width: Hidden units.
        num_outputs: Width of the output.
    """

    def __init__(self, d_model: int, width: int, num_outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(d_model, width)
        self.out = nn.Linear(width, num_outputs)

    def forward(self, x: Float[Tensor, "*shape d_model"]) -> Float[Tensor, "*shape outputs"]:
        """Maps each position alone."""
        return self.out(self.hidden(x).relu())


class RidgeSplines(nn.Module):
    """The same network where its hidden units come in ridges: Eq. 7 summed over ridges, evaluated ridge by ridge.

    Each ridge is a cosine of ``s = directions . z + offset``, replaced by its linear interpolation between knots. As
    ReLUs that takes a unit per knot, with one row of W_1 for all of a ridge. Here the two knots beside s are found by
    division: the cost of an answer does not grow with the number of knots, and W_1 is never made. `naive.expanded`
    makes it. On each position, the coefficients of that position count (Eq. 5): it reads the one-hot columns.

    Args:
        d_model: Width of the input.
        num_steps: Positions.
        num_outputs: Width of the output.
        columns: Columns of the input that hold z.
        positions: Columns of the input that hold the one-hot position.
        num_ridges: Ridges.
    """

    directions: Tensor
    offset: Tensor
    low: Tensor
    spacing: Tensor
    knots: Tensor
    coefficients: Tensor
    constant: Tensor

    def __init__(
        self, d_model: int, num_steps: int, num_outputs: int, columns: slice, positions: slice, num_ridges: int
    ) -> None:
        super().__init__()
        self.columns = columns
        self.positions = positions
        width = len(range(*columns.indices(d_model)))
        self.register_buffer("directions", torch.zeros(num_ridges, width))
        self.register_buffer("offset", torch.zeros(num_ridges))
        self.register_buffer("low", torch.zeros(num_ridges))
        self.register_buffer("spacing", torch.ones(num_ridges))
        self.register_buffer("knots", torch.full((num_ridges,), 2, dtype=torch.int64))
        self.register_buffer("coefficients", torch.zeros(num_ridges, num_steps, num_outputs))
        self.register_buffer("constant", torch.zeros(num_steps, num_outputs))

    @property
    def width(self) -> int:
        """Hidden units of the network that this is: a unit for each interval and position, and one for a constant."""
        return (int((self.knots - 1).sum()) + 1) * len(self.constant)

    def forward(self, x: Float[Tensor, "*shape d_model"]) -> Float[Tensor, "*shape outputs"]:
        """Maps each position alone."""
        rows = x.reshape(-1, x.shape[-1])
        size = max(1, ROWS // max(1, len(self.directions)))
        found = [self._rows(part) for part in rows.split(size)]
        return torch.cat(found).view(*x.shape[:-1], self.constant.shape[1])

    def _rows(self, x: Float[Tensor, "rows d_model"]) -> Float[Tensor, "rows outputs"]:
        ridges = self.interpolate(x[:, self.columns] @ self.directions.T + self.offset)
        each = (ridges @ self.coefficients.flatten(1)).unflatten(1, self.constant.shape) + self.constant
        return (each * x[:, self.positions].unsqueeze(-1)).sum(1)

    def interpolate(self, s: Float[Tensor, "rows ridges"]) -> Float[Tensor, "rows ridges"]:
        """Returns the interpolated cosines: constant below the first knot, with the last slope above the last one."""
        place = ((s - self.low) / self.spacing).clamp(min=0)
        below = torch.minimum(place.floor(), (self.knots - 2).to(place.dtype))
        left = torch.cos(math.pi * (self.low + below * self.spacing))
        right = torch.cos(math.pi * (self.low + (below + 1) * self.spacing))
        return left + (place - below) * (right - left)

    def knot_positions(self, ridge: int) -> Float[Tensor, "knots"]:
        """Returns where the knots of one ridge are."""
        count: Int[Tensor, "knots"] = torch.arange(int(self.knots[ridge]), device=self.low.device)
        return self.low[ridge] + count * self.spacing[ridge]
