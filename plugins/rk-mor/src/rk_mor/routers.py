"""Routers: a score of each token for a recursion, or for each number of recursions; gates made of scores."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

RouterType = Literal["linear", "mlp"]
RouterFunction = Literal["sigmoid", "softmax", "tanh", "identity"]
Gating = Literal["weighted", "additive", "interpolate"]

STD = 0.02
"""Standard deviation of a linear router's weights at first."""


class Router(nn.Module):
    """Scores tokens: one number for a recursion, or one for each number of recursions.

    Args:
        d_model: Width of a token.
        outputs: Scores of a token.
        kind: ``linear``: a matrix. ``mlp``: two, with a GELU between, the inner width twice that of the token.
    """

    def __init__(self, d_model: int, outputs: int, kind: RouterType) -> None:
        super().__init__()
        self.score: nn.Module
        if kind == "linear":
            self.score = nn.Linear(d_model, outputs, bias=False)
            nn.init.normal_(self.score.weight, std=STD)
        else:
            self.score = nn.Sequential(nn.Linear(d_model, 2 * d_model), nn.GELU(), nn.Linear(2 * d_model, outputs))

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t outputs"]:
        return self.score(x)


def gate(logits: Float[Tensor, "*shape"], function: RouterFunction, alpha: float) -> Float[Tensor, "*shape"]:
    """Returns the gates of scores, ``alpha * f(z)``; ``softmax`` is over the last axis."""
    if function == "softmax":
        return alpha * logits.softmax(-1)
    functions = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "identity": lambda z: z}
    return alpha * functions[function](logits)


def gated(
    before: Float[Tensor, "b k d"], after: Float[Tensor, "b k d"], gates: Float[Tensor, "b k"] | None, gating: Gating
) -> Float[Tensor, "b k d"]:
    """Returns what a token is after a recursion.

    Args:
        before: What the recursion was given.
        after: What its layers made of it; their residual connections are in it.
        gates: One per token; None: without a router, where the layers' answer takes the place.
        gating: ``weighted``: H + g F (the paper's). ``additive``: H + F. ``interpolate``: H + g (F - H).
    """
    if gates is None:
        return after
    after = after.to(before.dtype)  # autocast gives layers and routers fewer bits than the residual stream
    if gating == "additive":
        return before + after
    g = gates.unsqueeze(-1).to(before.dtype)
    return torch.lerp(before, after, g.expand_as(after)) if gating == "interpolate" else torch.addcmul(before, g, after)


def capacity_of(capacity: float, length: int) -> int:
    """Returns how many of `length` tokens a recursion with a capacity takes: at least one."""
    return max(1, math.floor(capacity * length + 1e-6))


def top_tokens(
    scores: Float[Tensor, "b t"],
    candidates: Bool[Tensor, "b t"] | None,
    exists: Bool[Tensor, "b t"] | None,
    share: float,
) -> tuple[Int[Tensor, "b k"], Bool[Tensor, "b k"] | None]:
    """Returns the tokens with the highest scores of each row in ascending order, and which of them count.

    Args:
        scores: Of each token.
        candidates: Those that may be taken; None: all.
        exists: Which tokens of a row exist; None: all. The capacity is a share of these.
        share: The capacity, relative to the whole row, not to its candidates.
    """
    length = scores.shape[1]
    k = capacity_of(share, length)
    if candidates is not None:
        scores = scores.masked_fill(~candidates, -torch.inf)
    best = scores.topk(k, dim=1).indices
    if exists is None:
        return best.sort(1).values, None
    own = (exists.sum(1) * share + 1e-6).floor().clamp(min=1)
    taken = torch.zeros_like(exists).scatter(1, best, torch.arange(k, device=best.device) < own.unsqueeze(1))
    if candidates is not None:
        taken &= candidates
    index = (~taken).to(torch.uint8).argsort(dim=1, stable=True)[:, :k]
    return index, taken.gather(1, index)
