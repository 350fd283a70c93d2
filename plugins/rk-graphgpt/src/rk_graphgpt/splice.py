"""Graph tokens in the embeddings of a prompt: one index copy for the batch."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rk import UserError
from rk_graphgpt.prompts import END, PATCH, START


def splice(
    embedded: Float[Tensor, "batch time d"],
    tokens: Int[Tensor, "batch time"],
    graph_tokens: Float[Tensor, "nodes d"],
    start: Float[Tensor, "d"],
    end: Float[Tensor, "d"],
) -> Float[Tensor, "batch time d"]:
    """Returns the embeddings with those of new tokens in place (GraphGPT, Sec. 3.2).

    Args:
        embedded: Embeddings of the text; at the new tokens they are overwritten.
        tokens: The text, with `START`, `PATCH` and `END` where new tokens are.
        graph_tokens: What the projector makes of all nodes of the batch, in the order of the patches, row by row.
        start: The embedding of `START`.
        end: The embedding of `END`.

    Raises:
        UserError: When there are more or fewer patches than nodes.
    """
    flat = tokens.flatten()
    patches, starts, ends = ((flat == token).nonzero().flatten() for token in (PATCH, START, END))
    if len(patches) != len(graph_tokens):
        raise UserError(f"the prompts have places for {len(patches)} nodes, and the graphs have {len(graph_tokens)}")
    places = torch.cat([patches, starts, ends])
    rows = torch.cat([graph_tokens, start.expand(len(starts), -1), end.expand(len(ends), -1)])
    return embedded.flatten(0, 1).index_copy(0, places, rows.to(embedded.dtype)).unflatten(0, tokens.shape)
