"""Fields of sequence tasks: what their batches hold, and what models make of them."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from jaxtyping import Bool, Float, Int
from torch import Tensor

Readout = Literal["step", "last", "mean"]
"""Where answers are read: at each step, at the last one, or from the mean over all."""


class StepsBatch(TypedDict):
    """Fields that all batches of sequences may have."""

    mask: NotRequired[Bool[Tensor, "batch time"]]
    """True where a step exists; present only where lengths differ."""


class TokenBatch(StepsBatch):
    """Token numbers, and a class for each step (-100: none) or for the whole."""

    tokens: Int[Tensor, "batch time"]
    targets: Int[Tensor, "batch *positions"]


class SeriesBatch(StepsBatch):
    """Real-valued steps, and a class for each step or for the whole."""

    inputs: Float[Tensor, "batch time features"]
    targets: Int[Tensor, "batch *positions"]


class RegressionSeriesBatch(StepsBatch):
    """Real-valued steps, and numbers for the whole."""

    inputs: Float[Tensor, "batch time features"]
    targets: Float[Tensor, "batch numbers"]


class SequenceOutputs(TypedDict):
    """The head's numbers under the names that losses ask for: scores over classes, or values."""

    logits: Float[Tensor, "batch *positions outputs"]
    values: Float[Tensor, "batch *positions outputs"]


class DecodedAnswers(TypedDict):
    """Answers of a model from sequence to sequence, each with the token 0 that ends it, padded with -100."""

    decoded: Int[Tensor, "batch answer_time"]
