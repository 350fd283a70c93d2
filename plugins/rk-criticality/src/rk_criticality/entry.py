"""One number of a ledger: predicted and measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One number of the ledger: at a layer, predicted and measured."""

    layer: int
    predicted: float
    measured: float

    @property
    def error(self) -> float:
        """The difference, relative to the prediction."""
        return abs(self.measured / self.predicted - 1) if self.predicted else abs(self.measured)
