"""What a recoded model returns."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from jaxtyping import Float, Int
from torch import Tensor


class RecodedOutputs(TypedDict):
    """The next token after each token, and the signal at each step before and after the step on the activations."""

    logits: Float[Tensor, "batch time outputs"]
    values: Float[Tensor, "batch time outputs"]
    signal: Float[Tensor, "batch time"]
    recoded_signal: Float[Tensor, "batch time"]
    continuation: NotRequired[Int[Tensor, "batch new"]]
    """Present only if requested."""
