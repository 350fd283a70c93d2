"""What a recoded model returns, and what it does not take over from the model inside."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from jaxtyping import Float, Int
from torch import Tensor

LAYERED = ("blocks", "keeps_shape", "enter", "leave")
"""Members of a model that is a chain of blocks (`rk.Layered`)."""


class RecodedOutputs(TypedDict):
    """The next token after each token, and the signal at each step before and after the step on the activations."""

    logits: Float[Tensor, "batch time outputs"]
    values: Float[Tensor, "batch time outputs"]
    signal: Float[Tensor, "batch time"]
    recoded_signal: Float[Tensor, "batch time"]
    continuation: NotRequired[Int[Tensor, "batch new"]]
    """Present only if requested."""
