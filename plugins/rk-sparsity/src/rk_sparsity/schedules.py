"""How sparsity and the share of changed weights follow the steps of a run."""

from __future__ import annotations

import math
from typing import Literal


def cubic(step: int, start: int, end: int, final: float, initial: float = 1.0) -> float:
    """Returns the density at a step of gradual pruning (Zhu & Gupta 2017, arXiv:1710.01878, Eq. 1).

    The sparsity rises from ``1 - initial`` to ``1 - final``, fast at first.

    Args:
        step: Steps done.
        start: The step at which pruning begins.
        end: The step at which it ends.
        final: Density from `end` on.
        initial: Density until `start`.
    """
    if step <= start:
        return initial
    if step >= end:
        return final
    return final + (initial - final) * (1 - (step - start) / (end - start)) ** 3


def changed(step: int, end: int, share: float, decay: Literal["cosine", "linear", "constant"]) -> float:
    """Returns the share of the kept weights that is replaced at a step (RigL, arXiv:1911.11134, Sec. 3).

    Args:
        step: Steps done.
        end: The step from which nothing changes.
        share: The share at step 0.
        decay: How it falls to 0 at `end`.
    """
    if step >= end:
        return 0.0
    if decay == "cosine":
        return share / 2 * (1 + math.cos(math.pi * step / end))
    return share * (1 - step / end) if decay == "linear" else share
