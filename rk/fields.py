"""Fields that several plugins share: TypedDicts of batches and outputs, and the dimension names in their shapes.

Read statically by `rk validate`, and once at run time to check the first real batch. Own fields are declared the same
way, in the module that uses them. The glossary is in docs/contract.md.
"""

from __future__ import annotations

from typing import TypedDict

from jaxtyping import Float, Int
from torch import Tensor

IGNORED = -100
"""A target that counts for nothing, as in torch: give the loss ``ignore_index: -100``."""


class ClassificationBatch(TypedDict):
    """Inputs of any shape with one class each."""

    inputs: Float[Tensor, "batch *shape"]
    targets: Int[Tensor, "batch"]


class RegressionBatch(TypedDict):
    """Feature vectors with real targets."""

    inputs: Float[Tensor, "batch *shape"]
    targets: Float[Tensor, "batch targets"]


class InputsOnly(TypedDict):
    """What a trainer without labels reads."""

    inputs: Float[Tensor, "batch *shape"]


class LogitsOutputs(TypedDict):
    """Unnormalised scores over the classes."""

    logits: Float[Tensor, "batch classes"]


class ValuesOutputs(TypedDict):
    """Real-valued predictions."""

    values: Float[Tensor, "batch targets"]
