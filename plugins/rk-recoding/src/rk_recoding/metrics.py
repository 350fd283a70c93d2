"""What a step on the activations does to the signal at the same step."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float, Int
from torch import Tensor

from rk.fields import IGNORED
from rk.protocols import Share

TINY = 1e-4
"""A signal below which rounding decides whether it falls."""


class _AtEachStep(ABC):
    """The mean of a quantity over the steps whose next token counts."""

    @abstractmethod
    def quantity(self, before: Float[Tensor, "batch time"], after: Float[Tensor, "batch time"]) -> Tensor:
        """Returns it for each step, from the signal before and after the step on the activations."""

    def __call__(
        self,
        *,
        signal: Float[Tensor, "batch time"],
        recoded_signal: Float[Tensor, "batch time"],
        targets: Int[Tensor, "batch time"],
    ) -> Share:
        counts = targets != IGNORED
        return (self.quantity(signal, recoded_signal) * counts).sum(), counts.sum()


class SignalDrop(_AtEachStep):
    """Mean fall of the signal at the step at which the state is recoded, in its own unit (arXiv:2101.00674).

    Examples:
        metrics: {signal-drop: signal-drop}
    """

    def quantity(self, before: Float[Tensor, "batch time"], after: Float[Tensor, "batch time"]) -> Tensor:
        return before - after


class SignalFalls(_AtEachStep):
    """Share of the steps at which the signal falls; one that is below 1e-4 need not (arXiv:2101.00674).

    Examples:
        metrics: {signal-falls: signal-falls}
    """

    def quantity(self, before: Float[Tensor, "batch time"], after: Float[Tensor, "batch time"]) -> Tensor:
        return (after < before) | (before < TINY)
