"""The two objectives of a layer: its goodness against a threshold, and which class prototype it is close to."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Gt
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from rk.protocols import Share


class GoodnessBCE:
    """Forward-forward's loss: the goodness of true examples is to be above a threshold, that of false ones below.

    The goodness of an example is the sum of the squares of its hidden units (arXiv:2403.11004, the goodness of FF).

    Args:
        threshold: The paper's theta.

    Examples:
        loss: {name: goodness-bce, threshold: 2.0}

        >>> total, count = GoodnessBCE()(hidden=torch.zeros(2, 4), positive=torch.tensor([True, False]))
        >>> round(float(total), 4), count
        (2.2539, 2)
    """

    def __init__(self, threshold: Annotated[float, Gt(0)] = 2.0) -> None:
        self.threshold = threshold

    def __call__(self, *, hidden: Float[Tensor, "batch width"], positive: Bool[Tensor, "batch"]) -> Share:
        """Returns the summed loss and the number of examples.

        Args:
            hidden: What a layer gives for each example.
            positive: True where an example is true.
        """
        return self.of_goodness(goodness(hidden), positive), len(hidden)

    def of_goodness(self, values: Float[Tensor, "*batch"], positive: Bool[Tensor, "*batch"]) -> Float[Tensor, ""]:
        """Returns the summed loss of examples whose goodness is known."""
        target = positive.to(values.dtype)
        return F.binary_cross_entropy_with_logits(values - self.threshold, target, reduction="sum")


class PrototypeCrossEntropy:
    """Cross-entropy over classes whose logits are inner products with a prototype of each class.

    The prototypes are what the same layer makes of each class's virtual node (arXiv:2403.11004, the loss of SF).

    Args:
        temperature: The paper's tau, by which inner products are divided.

    Examples:
        loss: {name: prototype-cross-entropy, temperature: 1.0}

        >>> loss = PrototypeCrossEntropy()
        >>> total, count = loss(hidden=torch.zeros(2, 4), prototypes=torch.rand(3, 4), targets=torch.tensor([0, 2]))
        >>> round(float(total), 4), count
        (2.1972, 2)
    """

    def __init__(self, temperature: Annotated[float, Gt(0)] = 1.0) -> None:
        self.temperature = temperature

    def __call__(
        self,
        *,
        hidden: Float[Tensor, "batch width"],
        prototypes: Float[Tensor, "classes width"],
        targets: Int[Tensor, "batch"],
    ) -> Share:
        """Returns the summed loss and the number of examples.

        Args:
            hidden: What a layer gives for each example.
            prototypes: What it gives for the prototype of each class.
            targets: The class of each example.
        """
        return F.cross_entropy(self.logits(hidden, prototypes), targets, reduction="sum"), len(targets)

    def logits(
        self, hidden: Float[Tensor, "batch width"], prototypes: Float[Tensor, "classes width"]
    ) -> Float[Tensor, "batch classes"]:
        """Returns the inner products, divided by the temperature."""
        return hidden @ prototypes.T / self.temperature


def goodness(hidden: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch"]:
    """Returns the sum of the squares of the hidden units (arXiv:2403.11004, the goodness of FF)."""
    return torch.linalg.vecdot(hidden, hidden)
