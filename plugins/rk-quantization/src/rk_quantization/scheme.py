"""How a tensor is quantised: how many bits, which levels, and which entries share a scale."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from rk import UserError
from rk.errors import suggest

Levels = Literal["narrow", "symmetric", "affine", "power-of-two", "codebook", "ternary", "binary"]
Granularity = Literal["tensor", "channel", "group"]
Clip = Literal["min-max", "percentile", "mse"]

UNIFORM = ("narrow", "symmetric", "affine")


@dataclass(frozen=True)
class Scheme:
    """How weights are quantised.

    Attributes:
        bits: Bits of a weight, 1 to 8.
        levels: `narrow` (-Q..Q), `symmetric` (-Q-1..Q), `affine` (a zero point), `power-of-two`, `codebook` (k-means),
            `ternary` (2 bits) or `binary` (1 bit).
        granularity: What shares a scale: the `tensor`, each output `channel`, or each `group` of weights of a channel.
        group_size: Weights of a group.
        clip: How the range is found: `min-max`, `percentile`, or the lowest squared error (`mse`).
        percentile: Share of the weights within the range, in hundredths, for `percentile`.

    Raises:
        ValueError: When the bits do not suit the levels.
    """

    bits: int = 8
    levels: Levels = "narrow"
    granularity: Granularity = "channel"
    group_size: int = 64
    clip: Clip = "min-max"
    percentile: float = 99.9

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 8:
            raise ValueError(f"bits must be 1 to 8, got {self.bits}")
        if self.levels == "ternary" and self.bits != 2:
            raise ValueError(f"levels=ternary has 2 bits, got bits={self.bits}")
        if self.levels == "binary" and self.bits != 1:
            raise ValueError(f"levels=binary has 1 bit, got bits={self.bits}")
        if self.bits == 1 and self.levels not in ("binary", "codebook"):
            raise ValueError(f"levels={self.levels} needs at least 2 bits; 1 bit is levels=binary or codebook")
        if self.group_size < 1:
            raise ValueError(f"group_size must be >= 1, got {self.group_size}")
        if not 50 < self.percentile <= 100:
            raise ValueError(f"percentile must be above 50 and at most 100, got {self.percentile}")

    @property
    def uniform(self) -> bool:
        """Whether all levels have the same distance."""
        return self.levels in UNIFORM

    @property
    def limits(self) -> tuple[int, int]:
        """The lowest and the highest code of uniform levels."""
        half = 2 ** (self.bits - 1)
        if self.levels == "affine":
            return 0, 2 * half - 1
        return (1 - half if self.levels == "narrow" else -half), half - 1


@dataclass(frozen=True)
class Layout:
    """A weight as a matrix whose rows share a scale each.

    Attributes:
        shape: Of the weight.
        axis: Axis of the output channels.
        granularity: What a row is.
        group_size: Columns of a row, of groups.
    """

    shape: tuple[int, ...]
    axis: int = 0
    granularity: Granularity = "tensor"
    group_size: int = 64

    @property
    def moved(self) -> tuple[int, ...]:
        """The shape with the channels in front."""
        return (self.shape[self.axis], *self.shape[: self.axis], *self.shape[self.axis + 1 :])

    def check(self, name: str) -> None:
        """Raises `rk.UserError` when groups do not divide a channel of the weight `name`."""
        inner = math.prod(self.moved[1:])
        if self.granularity == "group" and inner % self.group_size:
            sizes = [str(n) for n in range(1, inner + 1) if inner % n == 0]
            raise UserError(
                f"group_size: {self.group_size} does not divide the {inner} weights of a channel of {name}",
                suggest(str(self.group_size), sizes[-12:], "sizes that do")
                or f"sizes that do: {', '.join(sizes[-12:])}",
            )

    def rows(self, weight: Tensor) -> Tensor:
        """Returns the weight as (rows, columns)."""
        if self.granularity == "tensor":
            return weight.reshape(1, -1)
        channels = weight.movedim(self.axis, 0).reshape(self.shape[self.axis], -1)
        return channels if self.granularity == "channel" else channels.reshape(-1, self.group_size)

    def weight(self, rows: Tensor) -> Tensor:
        """Returns what `rows` was made of."""
        if self.granularity == "tensor":
            return rows.reshape(self.shape)
        return rows.reshape(self.moved).movedim(0, self.axis)
