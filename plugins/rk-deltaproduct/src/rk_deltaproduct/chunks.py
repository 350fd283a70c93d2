"""The effect of a chunk of the delta rule on the incoming state: an affine map, for all chunks at once."""

# c chunks, m lanes (batch and heads), l rows (Householder steps of a chunk), t tokens of a chunk,
# k width of keys, v width of values, z = k + t: the rows of a state and the tokens of a chunk, one under the other

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable


class ChunkScan(torch.autograd.Function):
    """States after, and outputs within, the chunks of a sequence.

    The rows of a chunk correct each other: with ``A`` the strictly lower triangle of what they have in common, the WY
    form of their product has ``W = (I + A)^-1 keys`` and ``U = (I + A)^-1 values``. A chunk that meets state S writes
    ``U - W S`` at its keys, so that both the state after it and its outputs are affine in S:

        [S'; O] = (base - left W) S + left U = F S + E

    with the keys transposed above the scores of queries and keys in ``left``. F and E are found for all chunks at once;
    one small product per chunk remains to be done in order.

    The inverse itself is computed, by a triangular solve. Its entries are ``beta_r k_r^T H ... k_s`` with contractions
    H in between, hence at most 2 for unit keys and beta <= 2: nothing is lost by it, and the backward pass needs no
    second solve. The gradient is written out as autograd would keep, and fill with zeros, several times as much.
    """

    @staticmethod
    def forward(
        ctx: Any,  # torch's own
        common: Float[Tensor, "c m l l"],
        keys: Float[Tensor, "c m l k"],
        values: Float[Tensor, "c m l v"],
        left: Float[Tensor, "c m z l"],
        base: Float[Tensor, "c m z k"],
        state: Float[Tensor, "m k v"],
    ) -> Float[Tensor, "c m z v"]:
        """Returns the state after each chunk, and under it the chunk's outputs.

        Args:
            common: What rows have in common with earlier ones; only what is below the diagonal is read.
            keys: What W solves for: keys times beta, and the decay since the chunk began.
            values: What U solves for: values times beta.
            left: Keys, transposed, with the decay until the chunk ends; below them, scores of queries and keys.
            base: What becomes of the state without any writing; below it, the queries that read it.
            state: The state before the first chunk.
        """
        num_keys = state.shape[-2]
        eye = torch.eye(common.shape[-1], dtype=common.dtype, device=common.device).expand_as(common)
        inverse = torch.linalg.solve_triangular(common, eye, upper=False, unitriangular=True)
        w, u = inverse @ keys, inverse @ values
        maps = _add(base, left, w, -1)
        out = left @ u
        before = state
        for f, rows in zip(maps, out, strict=True):
            rows.baddbmm_(f, before)
            before = rows[:, :num_keys]
        ctx.save_for_backward(inverse, w, u, left, maps, out, state)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, "c m z v"]) -> tuple[Tensor, ...]:
        inverse, w, u, left, maps, out, state = ctx.saved_tensors
        num_keys = state.shape[-2]
        grad = grad.clone(memory_format=torch.contiguous_format)
        for c in range(len(grad) - 1, 0, -1):  # what later chunks made of the state after chunk c - 1
            grad[c - 1, :, :num_keys] += maps[c].mT @ grad[c]
        d_state = maps[0].mT @ grad[0]
        before = torch.cat([state.unsqueeze(0), out[:-1, :, :num_keys]])
        d_base = grad @ before.mT
        d_left = _add(grad @ u.mT, d_base, w.mT, -1)
        d_values = inverse.mT @ (left.mT @ grad)
        d_keys = (inverse.mT @ (left.mT @ d_base)).neg_()
        d_common = _add(d_keys @ w.mT, d_values, u.mT).tril_(-1).neg_()
        return d_common, d_keys, d_values, d_left, d_base, d_state


def scan_chunks(
    common: Float[Tensor, "c m l l"],
    keys: Float[Tensor, "c m l k"],
    values: Float[Tensor, "c m l v"],
    left: Float[Tensor, "c m z l"],
    base: Float[Tensor, "c m z k"],
    state: Float[Tensor, "m k v"],
) -> Float[Tensor, "c m z v"]:
    """Does what `ChunkScan` does, in operations that `torch.func` can transform, to any order of derivative.

    Autograd keeps what it needs of each step: more memory than `ChunkScan` takes.
    """
    num_keys = state.shape[-2]
    eye = torch.eye(common.shape[-1], dtype=common.dtype, device=common.device).expand_as(common)
    inverse = torch.linalg.solve_triangular(common, eye, upper=False, unitriangular=True)
    maps, added = base - left @ (inverse @ keys), left @ (inverse @ values)
    chunks = []
    for f, e in zip(maps.unbind(), added.unbind(), strict=True):
        chunks.append(e + f @ state)
        state = chunks[-1][:, :num_keys]
    return torch.stack(chunks)


def _add(
    total: Float[Tensor, "c m x y"], a: Float[Tensor, "c m x w"], b: Float[Tensor, "c m w y"], times: float = 1
) -> Float[Tensor, "c m x y"]:
    """Returns ``total + times a b`` without a tensor for the product."""
    c, m = total.shape[:2]
    return torch.baddbmm(total.flatten(0, 1), a.flatten(0, 1), b.flatten(0, 1), alpha=times).unflatten(0, (c, m))
