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


def memoryless_loss(length: int, n_copied: int = 10, n_symbols: int = 8) -> float:
    """Returns the loss of a model that predicts the blanks and guesses the symbols (arXiv:1511.06464, Sec. 4.1)."""
    return n_copied * math.log(n_symbols) / (length + 2 * n_copied)


class Copying(TokenTask):
    """The copying problem (Hochreiter and Schmidhuber, 1997; as in arXiv:1511.06464, Sec. 4.1).

    A sequence is `n_copied` symbols, ``length - 1`` blanks, a delimiter, and `n_copied` blanks; the answer is a blank
    at each step until the delimiter, and the symbols in their order after it. Without a memory of them, the loss cannot
    be below ``n_copied log(n_symbols) / (length + 2 n_copied)``.

    Args:
        length: Steps from the last symbol to the delimiter, in ``train``, ``val`` and ``test``.
        n_copied: Symbols of a sequence.
        n_symbols: Different symbols.

    Examples:
        data: {name: copying, length: 100, n_copied: 10}
    """

    metrics = {"accuracy": token_accuracy, "recall": recall, "sequence-accuracy": sequence_accuracy}

    def __init__(
        self,
        *,
        length: Annotated[int, Ge(1)] = 50,
        n_copied: Annotated[int, Ge(1)] = 10,
        n_symbols: Annotated[int, Ge(2)] = 8,
        **common: Any,
    ) -> None:
        super().__init__(length=length, **common)
        self.n_copied = n_copied
        self.n_symbols = n_symbols

    @property
    def vocab_size(self) -> int:
        """The blank, the symbols, and the delimiter."""
        return self.n_symbols + 2

    @property
    def num_outputs(self) -> int:
        """The blank and the symbols."""
        return self.n_symbols + 1

    def draw(self, rows: int, length: int, random: torch.Generator) -> Batch:
        symbols = 1 + integers(self.n_symbols, (rows, self.n_copied), random)
        tokens = torch.full((rows, length + 2 * self.n_copied), BLANK)
        targets = tokens.clone()
        tokens[:, : self.n_copied] = symbols
        tokens[:, -self.n_copied - 1] = self.n_symbols + 1
        targets[:, -self.n_copied :] = symbols
        return {"tokens": tokens, "targets": targets}
