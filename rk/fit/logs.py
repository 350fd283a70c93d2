"""Averages of what the steps log, kept on their device until they are written."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from rk.protocols import Scalars, State


class RunningMeans:
    """Sums of scalars since the last flush; only `flush` waits for the device."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor | float] = {}
        self.counts: dict[str, int] = {}

    def add(self, scalars: Scalars) -> None:
        for name, value in scalars.items():
            if name in self.sums:
                self.sums[name] = self.sums[name] + value
                self.counts[name] += 1
            else:
                self.sums[name] = value
                self.counts[name] = 1

    def peek(self) -> dict[str, float]:
        """Returns the means so far."""
        return {name: float(total) / self.counts[name] for name, total in self.sums.items()}

    def flush(self) -> dict[str, float]:
        """Returns the means and resets them."""
        means = self.peek()
        self.sums, self.counts = {}, {}
        return means

    def state_dict(self) -> State:
        return {
            "sums": {k: v.detach().cpu() if isinstance(v, Tensor) else v for k, v in self.sums.items()},
            "counts": self.counts,
        }

    def load_state_dict(self, state: State) -> None:
        self.sums, self.counts = dict(state["sums"]), dict(state["counts"])


def not_finite(means: Mapping[str, float]) -> str | None:
    """Returns the name of a mean that is NaN or infinite, or None."""
    return next((name for name, value in means.items() if not math.isfinite(value)), None)
