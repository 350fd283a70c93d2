"""Task `temporal-order`: of two symbols far apart among noise, which came first?"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge

from rk.protocols import Batch
from rk_sequence.metrics import class_accuracy
from rk_sequence.task import TokenTask, integers

NOISE, X, BEGIN, END = 4, 4, 6, 7
"""The number of noise symbols, from 0; then X and Y; the first token and the last."""


class TemporalOrder(TokenTask):
    """Temporal order with two symbols (Hochreiter and Schmidhuber, 1997, experiment 6a).

    A sequence is four kinds of noise between two markers, except for an X or a Y at a random place in its second tenth,
    and another at a random place in its sixth. The four classes are XX, XY, YX and YY.

    Args:
        length: Steps in ``train``, ``val`` and ``test``; at least 10.

    Examples:
        data: {name: temporal-order, length: 100}
    """

    metrics = {"accuracy": class_accuracy}
    vocab_size: int = 8
    num_outputs: int = 4
    readout: Literal["last"] = "last"  # type: ignore[assignment]  # other tasks of tokens answer at each step
    _shortest = 10

    def __init__(self, *, length: Annotated[int, Ge(10)] = 100, **common: Any) -> None:
        super().__init__(length=length, **common)

    def draw(self, rows: int, length: int, random: torch.Generator) -> Batch:
        tokens = integers(NOISE, (rows, length), random)
        tokens[:, 0], tokens[:, -1] = BEGIN, END
        relevant = integers(2, (rows, 2), random)
        tenth, each = length // 10, torch.arange(rows)
        for i, start in enumerate((tenth, length // 2)):
            tokens[each, start + integers(tenth, (rows,), random)] = X + relevant[:, i]
        return {"tokens": tokens, "targets": 2 * relevant[:, 0] + relevant[:, 1]}
