"""Task `adding`: two of many numbers are marked; what is their sum?"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor

from rk.protocols import Batch, Share
from rk_sequence.fields import RegressionSeriesBatch
from rk_sequence.task import GeneratedTask, integers

NEAR = 0.04
"""An error below it counts as solved (Hochreiter and Schmidhuber, 1997, Sec. 5.4)."""


def solved(*, values: Float[Tensor, "batch numbers"], targets: Float[Tensor, "batch numbers"]) -> Share:
    """Share of sequences whose sum is off by less than 0.04."""
    return ((values - targets).abs() < NEAR).all(1).sum(), len(targets)


class Adding(GeneratedTask):
    """The adding problem (Hochreiter and Schmidhuber, 1997): the sum of two marked numbers among many.

    A step has a number, uniform in [0, 1), and a marker; one step in each half is marked by 1, the others by 0. Who
    answers 1 always has a squared error of 1/6 = 0.1667. Train it with the loss `mse`.

    Args:
        length: Steps in ``train``, ``val`` and ``test``; at least 2.

    Examples:
        data: {name: adding, length: 50}
    """

    metrics = {"solved": solved}
    vocab_size: None = None
    num_features: int = 2
    num_outputs: int = 1
    readout: Literal["last"] = "last"
    _shortest = 2

    def __init__(self, *, length: Annotated[int, Ge(2)] = 50, **common: Any) -> None:
        super().__init__(length=length, **common)

    def batch(self, split: str, i: int, stage: int = 0) -> RegressionSeriesBatch:
        return self._drawn(split, i)

    def draw(self, rows: int, length: int, random: torch.Generator) -> Batch:
        inputs = torch.zeros(rows, length, 2)
        inputs[..., 0] = torch.rand(rows, length, generator=random)
        half = length // 2
        each = torch.arange(rows)
        inputs[each, integers(half, (rows,), random), 1] = 1
        inputs[each, half + integers(length - half, (rows,), random), 1] = 1
        return {"inputs": inputs, "targets": inputs.prod(-1).sum(1, keepdim=True)}
