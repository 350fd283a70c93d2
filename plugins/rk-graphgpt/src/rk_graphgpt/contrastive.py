"""The loss `text-graph-contrastive`: nodes, their texts and the texts around them find each other in the batch."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from rk.protocols import Term


class TextGraphContrastive:
    """Three symmetric contrastive terms over the batch (GraphGPT, Eq. 2).

    ``CL(h, t) + lambda CL(h, u) + lambda CL(t, u)``: h is the graph encoder's embedding of a node, t that of its text,
    and u the mean of its neighbours' texts. ``CL(a, b)`` is the mean of the cross-entropies of ``scale a b'`` and of
    its transpose, whose targets are the diagonal.

    Args:
        edge_coef: lambda, the weight of the two terms with neighbours.
        logit_scale: What cosines are multiplied by: a constant, 1 / 0.07.

    Examples:
        loss: {name: text-graph-contrastive, edge_coef: 1.0}

        >>> unit = torch.eye(3)
        >>> terms = TextGraphContrastive()(node_embedding=unit, text_embedding=unit, around_embedding=unit)
        >>> sorted(terms), f"{terms['node_text'][0]:.6f}"
        (['node_around', 'node_text', 'text_around'], '0.000004')
    """

    def __init__(
        self, edge_coef: Annotated[float, Ge(0)] = 10.0, logit_scale: Annotated[float, Gt(0)] = 14.285714285714286
    ) -> None:
        self.edge_coef = edge_coef
        self.logit_scale = logit_scale

    def __call__(
        self,
        *,
        node_embedding: Float[Tensor, "batch d"],
        text_embedding: Float[Tensor, "batch d"],
        around_embedding: Float[Tensor, "batch d"],
    ) -> dict[str, Term]:
        """Returns each term's sum over the batch, its count, and its weight (Eq. 2)."""
        count = len(node_embedding)
        return {
            "node_text": (self._pairs(node_embedding, text_embedding), count, 1.0),
            "node_around": (self._pairs(node_embedding, around_embedding), count, self.edge_coef),
            "text_around": (self._pairs(text_embedding, around_embedding), count, self.edge_coef),
        }

    def _pairs(self, a: Float[Tensor, "batch d"], b: Float[Tensor, "batch d"]) -> Tensor:
        """Returns the batch's sum of CL (Eq. 2)."""
        scores = self.logit_scale * a @ b.T
        own = torch.arange(len(a), device=a.device)
        one, other = (functional.cross_entropy(s, own, reduction="sum") for s in (scores, scores.T))
        return (one + other) / 2
