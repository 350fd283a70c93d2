"""How a classifier compares with the Bayes rule, with the nearest neighbour and with the majority."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from rk.protocols import Share


def bayes_accuracy(*, bayes: Int[Tensor, "batch"], targets: Int[Tensor, "batch"]) -> Share:
    """Returns how many targets the Bayes rule has right, which no classifier exceeds on average, and all."""
    return (bayes == targets).sum(), len(targets)


class ExcessError:
    """Error beyond that of the Bayes rule, on the same examples; on few of them it may be below 0."""

    higher_is_better = False

    def __call__(
        self, *, logits: Float[Tensor, "batch classes"], bayes: Int[Tensor, "batch"], targets: Int[Tensor, "batch"]
    ) -> Share:
        """Returns how many more the Bayes rule has right, and all."""
        return (bayes == targets).sum() - (logits.argmax(-1) == targets).sum(), len(targets)


def as_nearest(*, logits: Float[Tensor, "batch classes"], nearest: Int[Tensor, "batch"]) -> Share:
    """Returns how many answers are the class of the nearest training input, and all."""
    return (logits.argmax(-1) == nearest).sum(), len(nearest)


def as_majority(*, logits: Float[Tensor, "batch classes"], majority: Int[Tensor, "batch"]) -> Share:
    """Returns how many answers are the most frequent class in training, and all."""
    return (logits.argmax(-1) == majority).sum(), len(majority)
