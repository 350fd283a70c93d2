"""Pointer heads: one score for every (query, key) pair. They fit any encoder and decoder states.

A head is used in two moves, because keys are projected once per sequence and queries at every step:
``keys = head.keys(encoder_states)``, then ``scores = head(keys, decoder_states)``.
"""

# b batch, n keys, m queries (steps or beams), h hidden
import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from rk.transforms import is_transforming


class AdditivePointer(nn.Module):
    """Scores ``v^T tanh(W_1 e_j + W_2 d_i)`` of Vinyals et al. (2015), Sec. 2.3, without biases.

    Args:
        key_size: Width of the encoder states.
        query_size: Width of the decoder states.
        hidden_size: Width of the tanh layer.
        chunk_elements: Largest (b, m, n, h) tensor that is held at once. A bigger one is worked through in slices of
            the batch and recomputed in the backward pass: less memory, and faster too, as slices stay in the cache.
    """

    def __init__(self, key_size: int, query_size: int, hidden_size: int, chunk_elements: int = 2**21) -> None:
        super().__init__()
        self.key = nn.Linear(key_size, hidden_size, bias=False)  # W_1
        self.query = nn.Linear(query_size, hidden_size, bias=False)  # W_2
        self.v = nn.Parameter(torch.empty(hidden_size))
        nn.init.uniform_(self.v, -1 / math.sqrt(hidden_size), 1 / math.sqrt(hidden_size))
        self.chunk_elements = chunk_elements

    def keys(self, states: Float[Tensor, "b n e"]) -> Float[Tensor, "b n h"]:
        """Projects encoder states, once per sequence; the result is what `forward` takes."""
        # tanh(z) = 2 sigmoid(2z) - 1, and torch's sigmoid is 3x faster than its tanh on a CPU; the inner 2 goes here
        return F.linear(states, 2 * self.key.weight)

    def forward(self, keys: Float[Tensor, "b n h"], states: Float[Tensor, "b m d"]) -> Float[Tensor, "b m n"]:
        """Returns ``u_j^i``, the score of every key j for every query i."""
        queries = F.linear(states, 2 * self.query.weight)
        b, n, h = keys.shape
        per_example = queries.shape[1] * n * h
        # Asked first while exporting: a comparison with the batch's size would bound it in the graph.
        if torch.compiler.is_exporting() or b * per_example <= self.chunk_elements or is_transforming():
            scores = _sigmoid_scores(keys, queries, self.v)
        else:
            apply: Callable[..., Tensor] = _ChunkedScores.apply
            scores = apply(keys, queries, self.v, max(1, self.chunk_elements // per_example))
        return 2 * scores - self.v.sum()  # the outer 2 and the -1 of the identity above


class DotPointer(nn.Module):
    """Scores ``(W_1 e_j) . (W_2 d_i) / sqrt(h)``: cheaper than `AdditivePointer`, one matrix product.

    Args:
        key_size: Width of the encoder states.
        query_size: Width of the decoder states.
        hidden_size: Width in which they are compared.
    """

    def __init__(self, key_size: int, query_size: int, hidden_size: int) -> None:
        super().__init__()
        self.key = nn.Linear(key_size, hidden_size, bias=False)
        self.query = nn.Linear(query_size, hidden_size, bias=False)
        self.scale = hidden_size**-0.5

    def keys(self, states: Float[Tensor, "b n e"]) -> Float[Tensor, "b n h"]:
        """Projects encoder states, once per sequence; the result is what `forward` takes."""
        return self.key(states)

    def forward(self, keys: Float[Tensor, "b n h"], states: Float[Tensor, "b m d"]) -> Float[Tensor, "b m n"]:
        """Returns the score of every key for every query."""
        return self.query(states) * self.scale @ keys.mT


def _sigmoid_scores(
    keys: Float[Tensor, "b n h"], queries: Float[Tensor, "b m h"], v: Float[Tensor, "h"]
) -> Float[Tensor, "b m n"]:
    return torch.sigmoid(keys.unsqueeze(1) + queries.unsqueeze(2)) @ v


class _ChunkedScores(torch.autograd.Function):
    """`_sigmoid_scores` that never holds more than a slice of the (b, m, n, h) tensor, forward or backward."""

    @staticmethod
    def forward(ctx: Any, keys: Tensor, queries: Tensor, v: Tensor, rows: int) -> Tensor:  # Any: torch's own
        ctx.save_for_backward(keys, queries, v)
        ctx.rows = rows
        slices = zip(keys.split(rows), queries.split(rows), strict=True)
        return torch.cat([_sigmoid_scores(k, q, v) for k, q in slices])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # Any: as above
        keys, queries, v = ctx.saved_tensors
        d_keys, d_queries, d_v = torch.empty_like(keys), torch.empty_like(queries), torch.zeros_like(v)
        tensors = (keys, queries, grad, d_keys, d_queries)
        for k, q, g, d_k, d_q in zip(*(t.split(ctx.rows) for t in tensors), strict=True):
            s = torch.sigmoid(k.unsqueeze(1) + q.unsqueeze(2))
            d_v += g.flatten() @ s.flatten(end_dim=-2)
            slope = torch.addcmul(s, s, s, value=-1).mul_(g.unsqueeze(-1))  # g * sigmoid'; v comes in once, below
            torch.sum(slope, dim=1, out=d_k)
            torch.sum(slope, dim=2, out=d_q)
        return d_keys * v, d_queries * v, d_v, None
