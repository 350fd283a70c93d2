"""Metrics of masks: how far predicted and true regions of each class overlap."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rk.fields import IGNORED


class Overlap(ABC):
    """Counts, for each class, the pixels that are predicted, true, and both, over all images together."""

    higher_is_better = True

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets all pixels."""
        self.counts: Tensor | None = None

    def update(
        self, *, logits: Float[Tensor, "batch height width classes"], targets: Int[Tensor, "batch height width"]
    ) -> None:
        """Adds the pixels of a batch; targets of -100 count for nothing."""
        known = targets != IGNORED
        classes = logits.shape[-1]
        found, true = logits.argmax(-1)[known], targets[known]
        both = true[found == true]
        counts = torch.stack([torch.bincount(x.flatten(), minlength=classes) for x in (found, true, both)]).cpu()
        self.counts = counts if self.counts is None else self.counts + counts

    def merge(self, other: Overlap) -> None:
        """Adds the pixels that another metric has seen."""
        if other.counts is not None:
            self.counts = other.counts if self.counts is None else self.counts + other.counts

    def compute(self) -> float:
        """Returns the mean over the classes that are predicted or true anywhere; NaN over nothing."""
        if self.counts is None:
            return math.nan
        found, true, both = self.counts.double()
        there = found + true > 0
        return float(self.overlap(found[there], true[there], both[there]).mean()) if there.any() else math.nan

    @abstractmethod
    def overlap(self, found: Tensor, true: Tensor, both: Tensor) -> Tensor:
        """Returns the overlap of each class."""


class MeanIoU(Overlap):
    """Intersection over union (Jaccard index), the mean over the classes."""

    def overlap(self, found: Tensor, true: Tensor, both: Tensor) -> Tensor:
        return both / (found + true - both)


class Dice(Overlap):
    """Twice the intersection over the sum of both regions (Dice coefficient), the mean over the classes."""

    def overlap(self, found: Tensor, true: Tensor, both: Tensor) -> Tensor:
        return 2 * both / (found + true)
