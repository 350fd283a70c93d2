"""What a sweep has tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any


@dataclass(frozen=True)
class Trial:
    """One choice of values, and its result.

    Attributes:
        number: From 0.
        values: Key of the recipe -> value.
        scores: The metric, for each seed; nothing where the training failed.
        failure: Why it failed.
    """

    number: int
    values: Mapping[str, Any]
    scores: tuple[float, ...] = ()
    failure: str = ""

    @property
    def score(self) -> float | None:
        """The mean over the seeds; None where the trial failed."""
        return fmean(self.scores) if self.scores else None
