"""Task `copying`: symbols are to be written down again, long after they were shown."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from annotated_types import Ge
from jaxtyping import Float, Int
from torch import Tensor

from rk.protocols import Batch, Share
from rk_sequence.metrics import sequence_accuracy, token_accuracy
from rk_sequence.task import TokenTask, integers

BLANK = 0


def recall(*, logits: Float[Tensor, "batch time classes"], targets: Int[Tensor, "batch time"]) -> Share:
    """Share of the symbols that are written down again; blanks count for nothing."""
    counts = targets > BLANK
    return ((logits.argmax(-1) == targets) & counts).sum(), counts.sum()


def memoryless_loss(length: int, num_copied: int = 10, num_symbols: int = 8) -> float:
    """Returns the loss of a model that predicts the blanks and guesses the symbols (arXiv:1511.06464, Sec. 4.1)."""
    return num_copied * math.log(num_symbols) / (length + 2 * num_copied)


class Copying(TokenTask):
    """The copying problem (Hochreiter and Schmidhuber, 1997; as in arXiv:1511.06464, Sec. 4.1).

    A sequence is `num_copied` symbols, ``length - 1`` blanks, a delimiter, and `num_copied` blanks; the answer is a
    blank at each step until the delimiter, and the symbols in their order after it. Without a memory of them, the loss
    cannot be below ``num_copied log(num_symbols) / (length + 2 num_copied)``.

    Args:
        length: Steps from the last symbol to the delimiter, in ``train``, ``val`` and ``test``.
        num_copied: Symbols of a sequence.
        num_symbols: Different symbols.

    Examples:
        data: {name: copying, length: 100, num_copied: 10}
    """

    renamed = {"n_copied": "num_copied", "n_symbols": "num_symbols"}

    metrics = {"accuracy": token_accuracy, "recall": recall, "sequence-accuracy": sequence_accuracy}

    def __init__(
        self,
        *,
        length: Annotated[int, Ge(1)] = 50,
        num_copied: Annotated[int, Ge(1)] = 10,
        num_symbols: Annotated[int, Ge(2)] = 8,
        **common: Any,
    ) -> None:
        super().__init__(length=length, **common)
        self.num_copied = num_copied
        self.num_symbols = num_symbols

    @property
    def vocab_size(self) -> int:
        """The blank, the symbols, and the delimiter."""
        return self.num_symbols + 2

    @property
    def num_outputs(self) -> int:
        """The blank and the symbols."""
        return self.num_symbols + 1

    def draw(self, rows: int, length: int, random: torch.Generator) -> Batch:
        symbols = 1 + integers(self.num_symbols, (rows, self.num_copied), random)
        tokens = torch.full((rows, length + 2 * self.num_copied), BLANK)
        targets = tokens.clone()
        tokens[:, : self.num_copied] = symbols
        tokens[:, -self.num_copied - 1] = self.num_symbols + 1
        targets[:, -self.num_copied :] = symbols
        return {"tokens": tokens, "targets": targets}
