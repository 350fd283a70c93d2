"""The trainer `length-curriculum`: backpropagation through the beginnings of sequences, which grow."""

from __future__ import annotations

from typing import Annotated, Any

from annotated_types import Ge
from rk_sequence.pace import evenly
from torch import Tensor

from rk import UserError
from rk.builtin.backprop import Backprop
from rk.protocols import Batch, Optimizer


class LengthCurriculum(Backprop):
    """Gradient descent on the first steps of each sequence, more of them as training progresses.

    The first answers of a sequence can be learned before the others; until then, the rest is noise in the gradient. The
    authors' code has such a curriculum for group words. Steps beyond the current length are cut off, not only left out
    of the loss: training is faster too. Validation and tests see whole sequences.

    For data with a target for each step: every field with as many entries along its second dimension is cut. The data
    `scheduled` of rk-sequence draws shorter sequences instead, at the same pace, and lets other parameters grow too.

    Args:
        optimizer: The optimizer and its schedule, or several by patterns of the names of what they train.
        initial_length: Length in the first update.
        over: Updates until the whole length is reached; it grows evenly.

    Examples:
        trainer: {name: length-curriculum, optimizer: adam, initial_length: 4, over: 1000}
    """

    renamed = {"start": "initial_length"}

    def __init__(
        self,
        optimizer: Optimizer | dict[str, Optimizer],
        initial_length: Annotated[int, Ge(1)] = 4,
        over: Annotated[int, Ge(1)] = 200,
    ) -> None:
        super().__init__(optimizer)
        self.initial_length = initial_length
        self.over = over
        self.seen = 0

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Learns from the beginning of each sequence of a micro-batch."""
        targets = batch["targets"]
        if targets.ndim < 2:
            raise UserError(
                "length-curriculum: this data has one target for a whole sequence",
                "take the trainer backprop, or data with a target for each step",
            )
        whole = targets.shape[1]
        length = self.length(whole)
        self.seen += 1
        if length == whole:
            return super().step(batch)
        return super().step({name: _cut(value, whole, length) for name, value in batch.items()})

    def length(self, whole: int) -> int:
        """Returns how many steps of a sequence of `whole` are learned from in this update."""
        updates = self.seen // self.runtime.accumulate
        return evenly(updates, min(self.initial_length, whole), whole, self.over)

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]


def _cut(value: Any, whole: int, length: int) -> Any:
    if isinstance(value, Tensor) and value.ndim > 1 and value.shape[1] == whole:
        return value[:, :length]
    return value
