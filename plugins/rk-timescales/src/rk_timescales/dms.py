"""Task `n-dms`: is the last bit the one of N - 1 steps before?"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from rk_timescales.task import WindowTask


class NDMS(WindowTask):
    """Delayed match to sample with growing N (arXiv:2309.12927): is the last bit the same as the N-th from the end?

    With N = 2, the last two bits are compared. Bits are 0 and 1, equally likely.

    Examples:
        data: {name: n-dms, schedule: cumulative, largest: 20}
    """

    def __init__(self, **common: Any) -> None:
        super().__init__(**common)

    def draw(self, rows: int, length: int, random: torch.Generator) -> Int[Tensor, "b t"]:
        return torch.randint(2, (rows, length), generator=random)

    def answer(self, bits: Int[Tensor, "b t"], n: int) -> Int[Tensor, "b"]:
        return (bits[:, -n] == bits[:, -1]).long()
