"""A learning rate that falls when the monitored metric no longer improves."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt, Lt

from rk.fit.patience import Patience
from rk.protocols import State

__all__ = ["Plateau"]


class Plateau:
    """The rate times `factor` each time `fit.monitor` has not improved for `patience` validations.

    As Keras' ``ReduceLROnPlateau``; torch's lets one more validation pass. Whether less or more is better is that of
    `fit.monitor`. It needs `fit.monitor` and `fit.validate_every`.

    Args:
        factor: What the rate is multiplied by.
        patience: Validations in a row without an improvement, after which the rate falls.
        min_delta: The change of the metric must be larger than this to count as an improvement.
        cooldown: Validations after a fall that do not count.
        end: The rate does not fall below this.
        warmup_steps: Updates over which the rate rises from near zero.

    Examples:
        trainer: {name: backprop, optimizer: {name: adam, schedule: {name: plateau, factor: 0.5, patience: 3}}}
        fit: {max_steps: 10000, validate_every: 100, monitor: val/loss}

        >>> plateau = Plateau(factor=0.5, patience=2)
        >>> for loss in (1.0, 0.8, 0.9, 0.85):
        ...     plateau.monitored(loss, maximise=False)
        >>> plateau(0.1, step=400, total_steps=None)
        0.05
    """

    def __init__(
        self,
        factor: Annotated[float, Gt(0), Lt(1)] = 0.1,
        patience: Annotated[int, Ge(1)] = 5,
        min_delta: Annotated[float, Ge(0)] = 0.0,
        cooldown: Annotated[int, Ge(0)] = 0,
        end: Annotated[float, Ge(0)] = 0.0,
        warmup_steps: Annotated[int, Ge(0)] = 0,
    ) -> None:
        self.factor = factor
        self.cooldown = cooldown
        self.end = end
        self.warmup_steps = warmup_steps
        self.falls = 0
        self._patience = Patience(patience, min_delta)
        self._cooling = 0

    def __call__(self, lr: float, step: int, total_steps: int | None) -> float:
        warm = min(1.0, (step + 1) / (self.warmup_steps + 1))
        return max(lr * self.factor**self.falls, min(lr, self.end)) * warm

    def monitored(self, value: float, maximise: bool) -> None:
        """Takes the value of `fit.monitor` of a validation, and whether more of it is better."""
        over = self._patience.runs_out(value, maximise)
        if self._cooling:
            self._cooling -= 1
            self._patience.waited = 0
        elif over:
            self.falls += 1
            self._cooling, self._patience.waited = self.cooldown, 0

    def state_dict(self) -> State:
        """Returns how often the rate has fallen, and what is counted until the next time."""
        return {"falls": self.falls, "cooling": self._cooling, "patience": self._patience.state_dict()}

    def load_state_dict(self, state: State) -> None:
        """Takes `state_dict`'s result back."""
        self.falls, self._cooling = state["falls"], state["cooling"]
        self._patience.load_state_dict(state["patience"])
