"""Task `two-sided`: the answer needs what comes before and what comes after."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from torch.nn import functional as F

from rk.fields import IGNORED
from rk.protocols import Batch
from rk_sequence.fields import SeriesBatch
from rk_sequence.metrics import sequence_accuracy, token_accuracy
from rk_sequence.task import GeneratedTask


class TwoSided(GeneratedTask):
    """Uniform numbers; the class of step t is whether ``x[t-1] + x[t+1] > 1``. The first and the last step have none.

    A model that looks only back cannot have more than 0.75 of the steps right: given x[t-1] = p, the better guess is
    right with probability max(p, 1 - p). A model that looks both ways can have all right. Train it with
    ``{name: cross-entropy, ignore_index: -100}``.

    Args:
        length: Steps in ``train``, ``val`` and ``test``; at least 3.

    Examples:
        data: {name: two-sided, length: 20}
    """

    metrics = {"accuracy": token_accuracy, "sequence-accuracy": sequence_accuracy}
    vocab_size: None = None
    num_features: int = 1
    num_outputs: int = 2
    readout: Literal["step"] = "step"
    _shortest = 3

    def __init__(self, *, length: Annotated[int, Ge(3)] = 20, **common: Any) -> None:
        super().__init__(length=length, **common)

    def batch(self, split: str, i: int, stage: int = 0) -> SeriesBatch:
        return self._drawn(split, i)

    def draw(self, rows: int, length: int, random: torch.Generator) -> Batch:
        x = torch.rand(rows, length, generator=random)
        above = (x[:, :-2] + x[:, 2:] > 1).long()
        return {"inputs": x.unsqueeze(-1), "targets": F.pad(above, (1, 1), value=IGNORED)}
