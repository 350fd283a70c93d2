"""What a step on the activations does to the signal at the same step."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from rk.fields import IGNORED
from rk.protocols import Share

TINY = 1e-4
"""A signal below which rounding decides whether it falls."""


class SignalDrop:
    """Mean fall of the signal at the step at which the state is recoded, in its own unit (arXiv:2101.00674).

    Examples:
        metrics: {signal-drop: signal-drop}
    """

    def __call__(
        self,
        *,
        signal: Float[Tensor, "batch time"],
        recoded_signal: Float[Tensor, "batch time"],
        targets: Int[Tensor, "batch time"],
    ) -> Share:
        counts = targets != IGNORED
        return ((signal - recoded_signal) * counts).sum(), counts.sum()


class SignalFalls:
    """Share of the steps at which the signal falls; one that is below 1e-4 need not (arXiv:2101.00674).

    Examples:
        metrics: {signal-falls: signal-falls}
    """

    def __call__(
        self,
        *,
        signal: Float[Tensor, "batch time"],
        recoded_signal: Float[Tensor, "batch time"],
        targets: Int[Tensor, "batch time"],
    ) -> Share:
        counts = targets != IGNORED
        falls = (recoded_signal < signal) | (signal < TINY)
        return (falls & counts).sum(), counts.sum()
