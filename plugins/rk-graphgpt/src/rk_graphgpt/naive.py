"""Naive twins: the equations as they are printed, for tests and benchmarks."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from rk_graphgpt.graph_transformer import EPS, GraphTransformer
from rk_graphgpt.prompts import END, PATCH, START


def naive_graph_transformer(
    layer: GraphTransformer, x: Float[Tensor, "nodes d"], edge_index: Int[Tensor, "2 edges"]
) -> Float[Tensor, "nodes d"]:
    """Returns the layer's nodes, one node and one head after the other (Sec. 3.1)."""
    edges = edge_index.T.tolist()
    width = x.shape[1] // layer.num_heads
    rows = []
    for i in range(len(x)):
        heads = []
        for head in range(layer.num_heads):
            part = slice(head * width, (head + 1) * width)
            before = [j for j, to in edges if to == i]
            query = x[i] @ layer.query[:, part]
            weights = [math.e ** (query @ (x[j] @ layer.key[:, part])).clamp(-layer.clamp, layer.clamp) for j in before]
            total = sum(weights, torch.zeros(())) + EPS
            values = [a / total * (x[j] @ layer.value[:, part]) for a, j in zip(weights, before, strict=True)]
            heads.append(sum(values, torch.zeros(width, dtype=x.dtype)))
        rows.append(
            functional.layer_norm(torch.cat(heads) + x[i], x.shape[1:], layer.norm.weight, layer.norm.bias, 1e-6)
        )
    return torch.stack(rows)


def naive_contrastive(
    h: Float[Tensor, "batch d"],
    t: Float[Tensor, "batch d"],
    around: Float[Tensor, "batch d"],
    scale: float,
    coef: float,
) -> Tensor:
    """Returns ``CL(h, t) + coef CL(h, around) + coef CL(t, around)`` of one batch (Eq. 2), pair by pair."""

    def one_way(a: Tensor, b: Tensor) -> Tensor:
        losses = []
        for i in range(len(a)):
            scores = torch.stack([scale * (a[i] @ b[j]) for j in range(len(b))])
            losses.append(scores.exp().sum().log() - scores[i])
        return torch.stack(losses).mean()

    def both(a: Tensor, b: Tensor) -> Tensor:
        return (one_way(a, b) + one_way(b, a)) / 2

    return both(h, t) + coef * both(h, around) + coef * both(t, around)


def naive_splice(
    table: Float[Tensor, "vocab d"],
    tokens: Int[Tensor, "batch time"],
    graph_tokens: Float[Tensor, "nodes d"],
    start: Float[Tensor, "d"],
    end: Float[Tensor, "d"],
) -> Float[Tensor, "batch time d"]:
    """Returns the embeddings of prompts, each put together piece by piece with `torch.cat`."""
    rows = []
    used = 0
    for row in tokens.tolist():
        pieces = []
        for token in row:
            if token == PATCH:
                pieces.append(graph_tokens[used : used + 1])
                used += 1
            else:
                special = {START: start, END: end}.get(token)
                pieces.append((table[token] if special is None else special).unsqueeze(0))
        rows.append(torch.cat(pieces))
    return torch.stack(rows)
