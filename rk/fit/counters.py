"""How far a run has come: what the loop counts, and what of it a checkpoint keeps."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from rk.protocols import State


@dataclass
class Counters:
    """The counters of a run.

    Attributes:
        step: Steps that are done.
        micro_batches: Those that this process has taken.
        finished: Whether the trainer's ``finish`` has been called.
        best_step: The step of the best validation; None without `fit.monitor`.
        best_value: Its value of the monitored metric.
        validated_at: The last step that was validated.
        logged_at: The last step whose averages were written.
        checkpoint_at: The step of the last checkpoint, and whether the run had finished then.
        seconds_before: Seconds that the run took before it was resumed.
        started: When this process began, on `time.perf_counter`'s clock.
    """

    step: int = 0
    micro_batches: int = 0
    finished: bool = False
    best_step: int | None = None
    best_value: float | None = None
    validated_at: int | None = None
    logged_at: int = 0
    checkpoint_at: tuple[int, bool] | None = None
    seconds_before: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Seconds that the run has taken, those before it was resumed included."""
        return self.seconds_before + time.perf_counter() - self.started

    def is_best(self, value: float, more: bool) -> bool:
        """Whether `value` is better than all before; then it is the best from here on.

        Args:
            value: Of the monitored metric; NaN is never the best.
            more: Whether more of it is better.
        """
        if math.isnan(value):
            return False
        if self.best_value is None or (value > self.best_value if more else value < self.best_value):
            self.best_value = value
            return True
        return False

    def state(self, world: int) -> State:
        """Returns what a checkpoint keeps; micro-batches are those of all `world` processes."""
        return {
            "step": self.step,
            "micro_batches": self.micro_batches * world,
            "finished": self.finished,
            "best": (self.best_step, self.best_value),
            "validated_at": self.validated_at,
            "seconds": self.seconds,
        }

    def take(self, state: State, world: int, log_every: int) -> None:
        """Takes what `state` has returned. Raises `KeyError` or `TypeError` for anything else."""
        self.micro_batches = state["micro_batches"] // world
        self.finished = state["finished"]
        self.best_step, self.best_value = state["best"]
        self.validated_at = state["validated_at"]
        self.seconds_before = state["seconds"]
        self.checkpoint_at = (self.step, self.finished)
        self.logged_at = self.step - self.step % log_every
