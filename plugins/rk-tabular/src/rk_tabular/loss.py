"""The loss `number-loss`: the distance of values from targets, squared, absolute or between."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Gt
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from rk.protocols import Share


class NumberLoss:
    """Distance of a value from its target, in standard deviations of the training targets.

    Args:
        kind: `squared` (its answer is the mean), `absolute` (the median), or `huber`: squared up to `delta`, absolute
            beyond, so that outliers count less.
        delta: Where `huber` becomes absolute.

    Examples:
        loss: {name: number-loss, kind: huber}

        >>> NumberLoss()(values=torch.ones(3, 1), targets=torch.zeros(3, 1))
        (tensor(3.), 3)
    """

    def __init__(
        self, kind: Literal["squared", "absolute", "huber"] = "squared", delta: Annotated[float, Gt(0)] = 1.0
    ) -> None:
        self.kind = kind
        self.delta = delta

    def __call__(self, *, values: Float[Tensor, "batch numbers"], targets: Float[Tensor, "batch numbers"]) -> Share:
        """Returns the sum and how many numbers it is over."""
        if self.kind == "squared":
            return (values - targets).square().sum(), targets.numel()
        if self.kind == "absolute":
            return (values - targets).abs().sum(), targets.numel()
        return functional.huber_loss(values, targets, reduction="sum", delta=self.delta), targets.numel()
