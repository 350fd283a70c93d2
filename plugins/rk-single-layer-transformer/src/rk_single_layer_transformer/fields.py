"""Fields of maps of sequences to sequences of numbers."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from jaxtyping import Bool, Float
from torch import Tensor


class ContinuousBatch(TypedDict):
    """Sequences of vectors, and the vectors that answer them, position by position."""

    inputs: Float[Tensor, "batch time features"]
    targets: Float[Tensor, "batch time outputs"]
    mask: NotRequired[Bool[Tensor, "batch time"]]
    """True where a step exists: losses and layers for sequences may ask for it. No batch has one, as all do."""


class ContinuousOutputs(TypedDict):
    """The answer at each position."""

    values: Float[Tensor, "batch time outputs"]
