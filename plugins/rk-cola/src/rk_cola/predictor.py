"""The model `path-predictor`: which segments the layers make for a question, and what is done to each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, NotRequired, TypedDict

import torch
from annotated_types import Ge, Lt
from jaxtyping import Bool, Float, Int
from rk_lm.layered import Path
from torch import Tensor, nn

from rk.protocols import Decode
from rk_cola.programs import KEEP, LONGEST, Program
from rk_cola.rows import PADDING


class SegmentOutputs(TypedDict):
    """Scores of boundaries and operations, one of each per layer; and, in an answer, the paths that they lead to."""

    boundary_logits: Float[Tensor, "batch depth"]
    operation_logits: Float[Tensor, "batch depth 3"]
    paths: NotRequired[Int[Tensor, "batch paths longest"]]
    """The most probable ones first, padded with -1; only in an answer."""


class PathPredictor(nn.Module):
    """Predicts the path of a question from a model's own early states of it (arXiv:2606.06574).

    A learned query for each layer of the frozen model looks at the states of the question; two layers of a transformer
    follow, over the layers. One head says whether a segment begins at a layer, the other what is done to it: skip, keep
    or repeat. An answer is the most probable `num_paths` programs of the segments that were found.

    Args:
        depth: Layers of the frozen model.
        state_size: Width of its states.
        hidden_size: Width of the predictor.
        num_heads: Heads of its attention.
        num_layers: Layers of its transformer.
        dropout: Share that is dropped.
        num_paths: Paths of an answer, and programs that are followed while they are made.

    Raises:
        ValueError: When the heads do not divide the width.

    Examples:
        model: {name: path-predictor, hidden_size: 64}

        >>> model = PathPredictor(depth=6, state_size=8, hidden_size=16, num_heads=2)
        >>> out = model(states=torch.rand(2, 5, 8), mask=torch.ones(2, 5, dtype=torch.bool))
        >>> out["operation_logits"].shape
        torch.Size([2, 6, 3])
    """

    def __init__(
        self,
        depth: int,
        state_size: int,
        hidden_size: Annotated[int, Ge(1)] = 256,
        num_heads: Annotated[int, Ge(1)] = 4,
        num_layers: Annotated[int, Ge(1)] = 2,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.1,
        num_paths: Decode[Annotated[int, Ge(1)]] = 5,
    ) -> None:
        super().__init__()
        if hidden_size % num_heads:
            raise ValueError(f"hidden_size must be a multiple of num_heads, got {hidden_size} and {num_heads}")
        self.depth = depth
        self.num_paths = num_paths
        self.project = nn.Sequential(nn.LayerNorm(state_size), nn.Linear(state_size, hidden_size))
        self.queries = nn.Embedding(depth, hidden_size)
        self.attention = nn.MultiheadAttention(hidden_size, num_heads, dropout=dropout, batch_first=True)
        layer = nn.TransformerEncoderLayer(hidden_size, num_heads, 4 * hidden_size, dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, num_layers, enable_nested_tensor=False)
        self.boundary_head = nn.Linear(hidden_size, 1)
        self.operation_head = nn.Linear(hidden_size, 3)

    def forward(self, *, states: Float[Tensor, "batch time state"], mask: Bool[Tensor, "batch time"]) -> SegmentOutputs:
        """Returns the scores for each layer; `mask` is True where a state exists."""
        keys = self.project(states)
        queries = self.queries.weight.expand(len(states), -1, -1)
        found, _ = self.attention(queries, keys, keys, key_padding_mask=~mask, need_weights=False)
        found = self.encoder(queries + found)  # of a single state, attention alone is the same for every layer
        return {
            "boundary_logits": self.boundary_head(found).squeeze(-1),
            "operation_logits": self.operation_head(found),
        }

    def predict(self, *, states: Float[Tensor, "batch time state"], mask: Bool[Tensor, "batch time"]) -> SegmentOutputs:
        """Returns the scores, and the most probable paths."""
        outputs = self.forward(states=states, mask=mask)
        operations = outputs["operation_logits"].float().log_softmax(-1).cpu()
        found = [
            decode(boundaries, logs, self.num_paths)
            for boundaries, logs in zip(outputs["boundary_logits"].cpu(), operations, strict=True)
        ]
        paths = torch.full((len(found), self.num_paths, 2 * self.depth), PADDING)
        for row, own in enumerate(found):
            for place, path in enumerate(own):
                paths[row, place, : len(path)] = torch.tensor(path)
        outputs["paths"] = paths.to(states.device)
        return outputs


def segments(boundaries: Float[Tensor, "depth"], longest: int = LONGEST) -> tuple[int, ...]:
    """Returns the lengths of segments: one begins where the score is at least 0, and after `longest` layers at last."""
    starts = [0]
    for layer in range(1, len(boundaries)):
        if boundaries[layer] >= 0 or layer - starts[-1] == longest:
            starts.append(layer)
    return tuple(b - a for a, b in zip(starts, [*starts[1:], len(boundaries)], strict=True))


def decode(
    boundaries: Float[Tensor, "depth"], operations: Float[Tensor, "depth 3"], num_paths: int, beam: int | None = None
) -> list[Path]:
    """Returns the most probable paths, the best first: a beam over the two likeliest operations of each segment.

    Args:
        boundaries: Scores, 0 where a segment is as likely to begin as not.
        operations: Log-probabilities of the operations; they count at the first layer of a segment.
        num_paths: Most paths.
        beam: Programs that are followed; None: `num_paths`, one more for the empty path, which cannot answer.

    Returns:
        At least one path, none of them empty.
    """
    lengths = segments(boundaries)
    followed: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    at = 0
    for length in lengths:
        scores, choices = operations[at].topk(2)
        pairs = [*zip(scores.tolist(), choices.tolist(), strict=True)]
        grown = [(total + score, (*before, choice)) for total, before in followed for score, choice in pairs]
        followed = sorted(grown, key=lambda one: -one[0])[: (beam or num_paths) + 1]
        at += length
    found = [Program(lengths, chosen).path for score, chosen in followed if math.isfinite(score)]
    return [path for path in found if path][:num_paths] or [Program(lengths, (KEEP,) * len(lengths)).path]


def read_paths(rows: Int[Tensor, "paths longest"]) -> Sequence[Path]:
    """Returns the paths of one answer."""
    found = [tuple(layer for layer in row if layer != PADDING) for row in rows.tolist()]
    return [path for path in found if path]
