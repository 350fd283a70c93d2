"""Where the construction keeps what in the stream, and the heads that copy every input into every position."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from rk_single_layer_transformer.attention import SoftmaxAttention


@dataclass(frozen=True)
class Slots:
    """Columns of the stream: ``[X | P | 1 | copy of x_1 | ... | copy of x_n]``; the copies begin at zero.

    Residual and copies have columns of their own, so that a position keeps its own one-hot columns.

    Attributes:
        num_features: Numbers of a step, d.
        num_steps: Positions, n.
        attention: Whether there are copies; without, z is the position's own step.
    """

    num_features: int
    num_steps: int
    attention: bool = True

    @property
    def positions(self) -> slice:
        """The one-hot position."""
        return slice(self.num_features, self.num_features + self.num_steps)

    @property
    def one(self) -> int:
        """The constant."""
        return self.num_features + self.num_steps

    @property
    def z(self) -> slice:
        """What the network maps: the copies of all steps, or the own step where there is no attention."""
        if not self.attention:
            return slice(0, self.num_features)
        return slice(self.one + 1, self.one + 1 + self.num_steps * self.num_features)

    @property
    def width(self) -> int:
        """The least width of the stream."""
        return self.one + 1 + self.num_steps * self.num_features * self.attention


@torch.no_grad()
def write_embedding(embed: nn.Linear, slots: Slots) -> None:
    """Makes the stream begin as the encoding, and zeros behind it."""
    embed.weight.zero_()
    embed.weight[: slots.one + 1].copy_(torch.eye(slots.one + 1))


@torch.no_grad()
def write_copy_heads(attention: SoftmaxAttention, slots: Slots, beta: float) -> None:
    """Eq. 3: head j scores ``beta [t = j]`` from every position, and copies x_j into slot j.

    The query reads the constant, the key the one-hot column of j, the value X. The division by sqrt(d_k) is undone, so
    that `beta` is what the softmax is given, whatever the width of a head is. Heads beyond the positions stay zero.

    Args:
        attention: With at least as many heads as positions, each at least as wide as a step.
        slots: The columns of the stream.
        beta: Inverse temperature.
    """
    d, n, width = slots.num_features, slots.num_steps, attention.head_dim
    for layer in (attention.query, attention.key, attention.value, attention.out):
        layer.weight.zero_()
    for j in range(n):
        attention.query.weight[j * width, slots.one] = beta * math.sqrt(width)
        attention.key.weight[j * width, slots.positions.start + j] = 1
        for k in range(d):
            attention.value.weight[j * width + k, k] = 1
            attention.out.weight[slots.z.start + j * d + k, j * width + k] = 1
