"""The negative evidence lower bound of a sparse process."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from rk.protocols import Share


class ELBO:
    """-E log p(class | draw) + KL / N, per example.

    Examples:
        loss: elbo

        >>> draws, divergence = torch.zeros(4, 20, 2), torch.zeros(4)
        >>> total, count = ELBO()(draws=draws, divergence=divergence, targets=torch.zeros(4, dtype=torch.long))
        >>> f"{total / count:.4f}"
        '0.6931'
    """

    def __call__(
        self,
        *,
        draws: Float[Tensor, "batch draws classes"],
        divergence: Float[Tensor, "batch"],
        targets: Int[Tensor, "batch"],
    ) -> Share:
        """Returns the sum over the batch and the number of examples."""
        each = functional.cross_entropy(
            draws.flatten(0, 1), targets.repeat_interleave(draws.shape[1]), reduction="none"
        )
        return each.view(len(targets), -1).mean(1).sum() + divergence.sum(), len(targets)
