"""The run as callbacks see it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from rk.errors import UserError, suggest
from rk.fit.runtime import Runtime
from rk.protocols import Batch, Scalars
from rk.recipe.model import Recipe
from rk.values import Fields, Part

if TYPE_CHECKING:
    from rk import protocols


@dataclass
class FitContext:
    """The run as its callbacks see it.

    Attributes:
        recipe: What is run.
        folder: The run folder.
        data: The task.
        learner: Everything that is learned.
        trainer: The learning algorithm.
        runtime: Devices and updates.
        step: Steps done.
        batch: In `after_step`, the last micro-batch that was learned from; None where a step takes none.
        scalars: In `after_step`, what that step returned to be logged: ``loss`` and others, not synchronised.
        metrics: The newest ``split/metric`` numbers.
        stop_reason: Why `stop` was called, if it was.
    """

    recipe: Recipe
    folder: Path
    data: Part
    learner: nn.Module
    trainer: Part
    runtime: Runtime
    step: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    logged: Fields = field(default_factory=dict)
    stop_reason: str | None = None
    batch: Batch | None = None
    scalars: Scalars = field(default_factory=dict)

    @property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """The optimizers that there are, by their names."""
        return self.runtime.made_optimizers()

    @property
    def rates(self) -> dict[str, float]:
        """The learning rates, as they are logged: ``lr``, or ``lr/NAME`` where there are several optimizers."""
        return self.runtime.rates()

    def batches(self, split: str, limit: int | None = None) -> Iterator[Batch]:
        """Yields the batches of `split`, on the learner's device. Raises `UserError` when there is no such split."""
        if split not in self.data.splits:
            raise UserError(f"the data has no split {split!r}", suggest(split, self.data.splits, "splits"))
        yield from self.runtime.batches(self.data, split, limit)

    def stop(self, reason: str) -> None:
        """Ends the run after this step, which then counts as its last one."""
        self.stop_reason = reason

    def log(self, numbers: Scalars) -> None:
        """Adds scalars to the averages that are logged; tensors are not synchronised."""
        self.logged.update(numbers)


if TYPE_CHECKING:  # both are what the protocols say that components are given
    _SEEN: type[protocols.FitContext] = FitContext
    _USED: type[protocols.Runtime] = Runtime
