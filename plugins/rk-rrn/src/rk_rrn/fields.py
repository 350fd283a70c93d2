"""Fields of relational tasks: what their batches hold, and what models make of them."""

from __future__ import annotations

from typing import TypedDict

from jaxtyping import Float
from torch import Tensor


class StepOutputs(TypedDict):
    """Unnormalised scores over the classes: of the last step, and of all."""

    logits: Float[Tensor, "batch *positions classes"]
    step_logits: Float[Tensor, "batch steps *positions classes"]
