"""Divergences of a student's probabilities from a teacher's, as sums over positions (arXiv:2410.20672, Table I.2)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Divergence = Literal["kl", "reverse-kl", "jsd", "tvd"]
"""See `divergence`."""


def divergence(
    kind: Divergence,
    given: Float[Tensor, "*positions classes"],
    wanted: Float[Tensor, "*positions classes"],
    temperature: float = 1.0,
) -> tuple[Float[Tensor, ""], int]:
    """Returns the sum over positions of how far probabilities q of a student are from p of a teacher, and their number.

    Args:
        kind: ``kl``: KL(p | q), the forward one. ``reverse-kl``: KL(q | p). ``jsd``: the mean of KL(p | m) and
            KL(q | m) with m = (p + q) / 2 (Jensen-Shannon). ``tvd``: half the sum of the absolute differences (total
            variation).
        given: The student's logits.
        wanted: The teacher's logits.
        temperature: Divides both logits. The divergence is multiplied by its square, the total variation by itself, so
            that gradients keep their size (Hinton et al., arXiv:1503.02531).

    Examples:
        >>> import torch
        >>> student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 100.0]])
        >>> [round(float(divergence(kind, student, teacher)[0]), 3) for kind in ("kl", "jsd", "tvd")]
        [0.693, 0.216, 0.5]
    """
    q, p = (given / temperature).log_softmax(-1), (wanted / temperature).log_softmax(-1)
    scale = temperature if kind == "tvd" else temperature**2
    return scale * _SUMS[kind](q, p), given.numel() // given.shape[-1]


def _kl(q: Tensor, p: Tensor) -> Tensor:
    """Returns KL(p | q) of log-probabilities."""
    return functional.kl_div(q, p, reduction="sum", log_target=True)


def _jsd(q: Tensor, p: Tensor) -> Tensor:
    middle = torch.logaddexp(q, p) - math.log(2)
    return (_kl(middle, p) + _kl(middle, q)) / 2


_SUMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "kl": _kl,
    "reverse-kl": lambda q, p: _kl(p, q),
    "jsd": _jsd,
    "tvd": lambda q, p: (q.exp() - p.exp()).abs().sum() / 2,
}
