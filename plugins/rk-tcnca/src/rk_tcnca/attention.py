"""Causal attention within chunks: no step sees another chunk than its own."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

# b batch, t time, s steps that may be seen, z width of a key, v width of a value

Attend = Literal["softmax", "laplace", "relu2"]
"""What makes weights of scores; see `weights`."""

_LAPLACE_MEAN, _LAPLACE_DEVIATION = math.sqrt(0.5), math.sqrt(0.25 / math.pi)


def weights(
    scores: Float[Tensor, "*b t s"], seen: Bool[Tensor, "*b t s"], attend: Attend, chunk: int
) -> Float[Tensor, "*b t s"]:
    """Returns the weight of each step for each other; 0 where it is not seen.

    ``softmax``; ``relu2``, the square of what is positive of ``scores / chunk``; ``laplace``, the error function that
    MEGA puts in its place (arXiv:2209.10655, Sec. 3.3).

    Args:
        scores: Products of queries and keys, and the bias.
        seen: Whether a step sees another.
        attend: See above.
        chunk: Steps of a chunk.
    """
    if attend == "softmax":
        return scores.masked_fill(~seen, -torch.inf).softmax(-1)
    scores = scores / chunk
    if attend == "relu2":
        found = F.relu(scores).square()
    else:
        found = (1 + torch.erf((scores - _LAPLACE_MEAN) / (_LAPLACE_DEVIATION * math.sqrt(2)))) / 2
    return found * seen


class RotaryBias(nn.Module):
    """A bias by distance from two vectors that rotary positions turn (MEGA; arXiv:2104.09864, Sec. 3.2.2).

    The bias of step i for step j is ``(R_i a) . (R_j b)``. It depends on i - j alone: 2 z numbers for any chunk.

    Args:
        chunk: Steps of a chunk.
        z_dim: Width of the vectors, even.
    """

    frequency: Tensor

    def __init__(self, chunk: int, z_dim: int) -> None:
        super().__init__()
        if z_dim % 2:
            raise ValueError(f"z_dim must be even with a rotary bias, got {z_dim}")
        self.chunk = chunk
        self.pair = nn.Parameter(0.02 * torch.randn(2, z_dim))
        frequency = 10000 ** -(torch.arange(z_dim // 2) / (z_dim // 2))
        self.register_buffer("frequency", frequency, persistent=False)

    def forward(self) -> Float[Tensor, "chunk"]:
        """Returns the bias by how many steps ago."""
        angle = torch.arange(self.chunk, device=self.pair.device).unsqueeze(1) * self.frequency.to(self.pair.dtype)
        (a, c), (b, d) = (vector.chunk(2) for vector in self.pair)
        return angle.cos() @ (a * b + c * d) + angle.sin() @ (a * d - c * b)


def attend_in_chunks(
    q: Float[Tensor, "b t z"],
    k: Float[Tensor, "b t z"],
    v: Float[Tensor, "b t v"],
    bias: Float[Tensor, "chunk"] | None,
    chunk: int,
    attend: Attend = "softmax",
) -> Float[Tensor, "b t v"]:
    """Returns what each step reads from the steps of its chunk up to itself, in O(t chunk).

    Args:
        q: Queries, scaled.
        k: Keys.
        v: Values.
        bias: Added to the scores, by how many steps ago; None: nothing.
        chunk: Steps of a chunk.
        attend: What makes weights of scores.
    """
    t = q.shape[1]
    size = min(chunk, t)
    more = -t % size
    q, k, v = (F.pad(x, (0, 0, 0, more)).unflatten(1, (-1, size)) for x in (q, k, v))
    place = torch.arange(size, device=q.device)
    ago = place.unsqueeze(1) - place
    scores = q @ k.mT
    if bias is not None:
        scores = scores + bias[ago.clamp(min=0)]
    mixed = weights(scores, (ago >= 0).expand_as(scores), attend, chunk) @ v
    return mixed.flatten(1, 2)[:, :t]


class ChunkCache:
    """The keys and values of the chunk that a row is in, and one piece more, with who sees what.

    Args:
        keys: Of the chunk, those that exist first, (b, chunk - 1, z).
        values: The same, (b, chunk - 1, v).
        seen: Steps that each row has had.
        chunk: Steps of a chunk.
    """

    def __init__(self, keys: Tensor, values: Tensor, seen: Int[Tensor, "b"], chunk: int) -> None:
        self.keys, self.values, self.seen, self.chunk = keys, values, seen, chunk

    def read(
        self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, attend: Attend, count: Int[Tensor, "b"]
    ) -> tuple[Float[Tensor, "b t v"], ChunkCache]:
        """Returns what each step of a piece reads, and the cache after it.

        Args:
            q: Queries of the piece, scaled; of each row, the steps that exist come first.
            k: Its keys.
            v: Its values.
            bias: As `attend_in_chunks` takes it.
            attend: The same.
            count: How many steps of each row exist.
        """
        kept, t = self.keys.shape[1], q.shape[1]
        begin = self.seen - self.seen % self.chunk  # where the chunk begins that the row is in
        slots = torch.arange(kept, device=q.device)
        old = begin.unsqueeze(1) + slots
        new = self.seen.unsqueeze(1) + torch.arange(t, device=q.device)
        place = torch.cat([old, new], 1)
        there = torch.cat([old < self.seen.unsqueeze(1), torch.ones_like(new, dtype=torch.bool)], 1)
        ago = new.unsqueeze(2) - place.unsqueeze(1)
        same = new.unsqueeze(2) // self.chunk == place.unsqueeze(1) // self.chunk
        keys, values = torch.cat([self.keys, k], 1), torch.cat([self.values, v], 1)
        scores = q @ keys.mT
        if bias is not None:
            scores = scores + bias[ago.clamp(0, self.chunk - 1)]
        mixed = weights(scores, same & (ago >= 0) & there.unsqueeze(1), attend, self.chunk) @ values

        seen = self.seen + count
        wanted = (seen - seen % self.chunk).unsqueeze(1) + slots
        index = torch.where(
            wanted < self.seen.unsqueeze(1), wanted - begin.unsqueeze(1), kept + wanted - self.seen.unsqueeze(1)
        ).clamp(0, kept + t - 1)
        rows = torch.arange(len(q), device=q.device).unsqueeze(1)
        return mixed, ChunkCache(keys[rows, index], values[rows, index], seen, self.chunk)
