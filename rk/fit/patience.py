"""How long a run waits for a better value of the monitored metric."""

from __future__ import annotations

from dataclasses import dataclass

from rk.protocols import State


@dataclass
class Patience:
    """Counts validations without an improvement.

    Attributes:
        patience: Validations in a row without an improvement, after which it has run out.
        min_delta: The change of the value must be larger than this to count as an improvement.
        best: The value that the next one is compared with.
        waited: Validations since `best`.
    """

    patience: int
    min_delta: float = 0.0
    best: float | None = None
    waited: int = 0

    def runs_out(self, value: float, maximise: bool) -> bool:
        """Takes the value of a validation; returns whether the patience has run out.

        Args:
            value: Of the monitored metric; NaN does not count as one.
            maximise: Whether more of it is better.
        """
        gain = -float("inf") if value != value else float("inf")
        if self.best is not None and value == value:
            gain = value - self.best if maximise else self.best - value
        if gain > self.min_delta:
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        return self.waited >= self.patience

    def state_dict(self) -> State:
        """Returns what it has counted."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: State) -> None:
        """Takes `state_dict`'s result back."""
        self.best, self.waited = state["best"], state["waited"]
