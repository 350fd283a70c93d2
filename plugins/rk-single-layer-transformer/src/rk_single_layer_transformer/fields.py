"""Fields of maps of sequences to sequences of numbers."""

from __future__ import annotations

from typing import TypedDict

from jaxtyping import Float
from torch import Tensor


class ContinuousBatch(TypedDict):
    """Sequences of vectors, and the vectors that answer them, position by position."""

    inputs: Float[Tensor, "batch time features"]
    targets: Float[Tensor, "batch time outputs"]


class ContinuousOutputs(TypedDict):
    """The answer at each position."""

    values: Float[Tensor, "batch time outputs"]
