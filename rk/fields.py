"""Fields that several plugins share: TypedDicts of batches and outputs, and the dimension names in their shapes.

Read statically by `rk validate`, and once at run time to check the first real batch. Own fields are declared the same
way, in the module that uses them. The glossary is in docs/contract.md.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = [
    "IGNORED",
    "CandidatesBatch",
    "ClassificationBatch",
    "GraphBatch",
    "GridBatch",
    "GridOutputs",
    "InputsOnly",
    "LogitsOutputs",
    "RegressionBatch",
    "ScoresOutputs",
    "SequencePairBatch",
    "SequencePairOutputs",
    "ValuesOutputs",
    "WaveBatch",
]

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
    """Inputs for trainers without labels."""

    inputs: Float[Tensor, "batch *shape"]


class LogitsOutputs(TypedDict):
    """Unnormalised scores over the classes."""

    logits: Float[Tensor, "batch classes"]


class ValuesOutputs(TypedDict):
    """Real-valued predictions."""

    values: Float[Tensor, "batch targets"]


class GraphBatch(TypedDict):
    """Graphs, flat: the nodes of all, one after the other. Extend it with `targets` of nodes, edges or graphs."""

    x: Float[Tensor, "nodes features"]
    edge_index: Int[Tensor, "2 edges"]
    edge_attr: NotRequired[Float[Tensor, "edges edge_features"]]
    graph_index: Int[Tensor, "nodes"]
    graph_sizes: Int[Tensor, "graphs"]


class GridBatch(TypedDict):
    """Functions on a regular grid of one, two or three axes, and what becomes of them. Sizes may differ by batch."""

    inputs: Float[Tensor, "batch channels *grid"]
    targets: Float[Tensor, "batch out_channels *grid"]


class GridOutputs(TypedDict):
    """Functions on the grid of the inputs."""

    values: Float[Tensor, "batch out_channels *grid"]


class WaveBatch(TypedDict):
    """Sampled waves, most often from -1 to 1; shorter ones are padded with zeros."""

    waves: Float[Tensor, "batch channels time"]
    lengths: NotRequired[Int[Tensor, "batch"]]


class CandidatesBatch(TypedDict):
    """A query with a list of candidates, and how relevant each is: 0 for not at all."""

    query: Int[Tensor, "batch time"]
    candidates: Int[Tensor, "batch candidates time"]
    mask: NotRequired[Bool[Tensor, "batch candidates"]]
    targets: Float[Tensor, "batch candidates"]


class ScoresOutputs(TypedDict):
    """One score per candidate; the highest is the answer."""

    scores: Float[Tensor, "batch candidates"]


class SequencePairBatch(TypedDict):
    """A sequence of tokens and the sequence that answers it, padded with `IGNORED`: sequence to sequence."""

    tokens: Int[Tensor, "batch time"]
    lengths: NotRequired[Int[Tensor, "batch"]]
    targets: Int[Tensor, "batch target_time"]


class SequencePairOutputs(TypedDict):
    """Scores of each next token of the answer."""

    logits: Float[Tensor, "batch target_time classes"]
