"""Task `parity`: after each bit, is the number of ones so far odd?"""

from __future__ import annotations

from typing import Annotated, Any

import torch
from annotated_types import Ge

from rk.protocols import Batch
from rk_sequence.task import TokenTask, integers


class Parity(TokenTask):
    """Running parity of random bits: one bit of state that must never be lost, nor forgotten by degrees.

    Args:
        length: Bits in ``train``, ``val`` and ``test``.

    Examples:
        data: {name: parity, length: 32, test_lengths: [32, 64]}
    """

    vocab_size: int = 2
    num_outputs: int = 2

    def __init__(self, *, length: Annotated[int, Ge(1)] = 32, **common: Any) -> None:
        super().__init__(length=length, **common)

    def draw(self, rows: int, length: int, random: torch.Generator) -> Batch:
        bits = integers(2, (rows, length), random)
        return {"tokens": bits, "targets": bits.cumsum(1) % 2}
