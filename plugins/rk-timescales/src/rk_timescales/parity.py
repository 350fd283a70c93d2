"""Task `n-parity`: is the number of ones among the last N bits odd?"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from annotated_types import Gt, Lt
from jaxtyping import Int
from torch import Tensor

from rk_timescales.task import WindowTask


class NParity(WindowTask):
    """Parity of the last N bits, with growing N (arXiv:2309.12927).

    Args:
        bias: Chance of a one: `uniform` draws one for each sequence, so that easy sequences are frequent; a number is
            that of all sequences.

    Examples:
        data: {name: n-parity, schedule: cumulative, largest: 20}
    """

    def __init__(self, *, bias: Literal["uniform"] | Annotated[float, Gt(0), Lt(1)] = "uniform", **common: Any) -> None:
        super().__init__(**common)
        self.bias = bias

    def draw(self, rows: int, length: int, random: torch.Generator) -> Int[Tensor, "b t"]:
        chance = torch.rand(rows, 1, generator=random) if self.bias == "uniform" else torch.tensor(float(self.bias))
        return (torch.rand(rows, length, generator=random) < chance).long()

    def answer(self, bits: Int[Tensor, "b t"], n: int) -> Int[Tensor, "b"]:
        return bits[:, -n:].sum(1) % 2
