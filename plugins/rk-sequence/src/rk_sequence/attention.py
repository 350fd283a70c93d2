"""The layer `attention`: causal softmax attention with rotary positions, the baseline of every other layer."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

# b batch, t time of a piece, s time of what came before, h heads, c width of a head, d = h * c

BLOCK = 512
"""Steps that are mapped at once."""

AttentionState = tuple[
    Float[Tensor, "b s h c"], Float[Tensor, "b s h c"], Bool[Tensor, "b s"], Int[Tensor, "b"]
]  # keys (turned by their positions), values, which of them exist, and how many steps there have been
"""The state that a piece needs from the steps before it."""


class Attention(nn.Module):
    """Causal softmax attention over several heads (arXiv:1706.03762) with rotary positions (arXiv:2104.09864).

    Eq. 1 of the former and Eq. 34 of the latter. Steps that a mask leaves out have no position and are seen by none.
    The state is the cache of keys and values. It grows with every step, unless a window bounds it; then it has a fixed
    size.

    Args:
        d_model: Width of the input and of the output.
        num_heads: Heads; without `head_dim` they divide `d_model` into even parts.
        head_dim: Width of a head, even; null: `d_model` / `num_heads`.
        window: How many steps a step sees, itself included; null: all before it.
        rope_base: Longest wavelength of the rotary positions, in steps over 2 pi.

    Attributes:
        head_projections: Name of a projection whose outputs are (parts, heads, width of a head) -> its parts. A layer
            with these and `num_heads` can run with its first heads alone.

    Raises:
        ValueError: When the heads do not divide `d_model` into parts of even width, or `head_dim` is odd.

    Examples:
        model: {name: sequence, layer: {name: attention, num_heads: 4, window: 64}}

        >>> Attention(d_model=16)(torch.randn(2, 9, 16)).shape
        torch.Size([2, 9, 16])
    """

    renamed = {"n_heads": "num_heads"}
    head_projections: ClassVar[dict[str, int]] = {"in_proj": 3}  # queries, keys, values

    def __init__(
        self,
        *,
        d_model: int,
        num_heads: Annotated[int, Ge(1)] = 4,
        head_dim: Annotated[int, Ge(2)] | None = None,
        window: Annotated[int, Ge(1)] | None = None,
        rope_base: Annotated[float, Gt(1)] = 10000.0,
    ) -> None:
        super().__init__()
        if head_dim is None:
            if d_model % (2 * num_heads):
                raise ValueError(f"num_heads must divide a width of {d_model} into even parts, got {num_heads}")
            head_dim = d_model // num_heads
        if head_dim % 2:
            raise ValueError(f"head_dim must be even, got {head_dim}")
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.window = window
        self.rope_base = rope_base
        self.in_proj = nn.Linear(d_model, 3 * num_heads * head_dim, bias=False)
        self.out_proj = nn.Linear(num_heads * head_dim, d_model, bias=False)

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        mask: Bool[Tensor, "b t"] | None = None,
        positions: Int[Tensor, "b t"] | None = None,
    ) -> Float[Tensor, "b t d"]:
        """Maps `x` to the same shape.

        Args:
            x: (batch, time, d_model).
            mask: (batch, time), True where a step exists.
            positions: (batch, time), ascending: where each step is in a longer sequence of which `x` has some
                steps. By default they are counted, those that exist.
        """
        if mask is not None or self.window is not None:
            return self.scan(x, self.initial_state(x.shape[0]), mask, positions)[0]
        return self.attend(*self.project(x, positions))

    def project(
        self, x: Float[Tensor, "b t d"], positions: Int[Tensor, "b t"] | None = None
    ) -> tuple[Float[Tensor, "b t h c"], Float[Tensor, "b t h c"], Float[Tensor, "b t h c"]]:
        """Returns queries, keys and values; the first two turned by their positions, by default 0, 1, 2, ..."""
        query, key, value = (part.unflatten(-1, (self.num_heads, -1)) for part in self.in_proj(x).chunk(3, -1))
        position = torch.arange(x.shape[1], device=x.device) if positions is None else positions
        return self._turned(query, position), self._turned(key, position), value

    def queries(self, x: Float[Tensor, "b t d"], positions: Int[Tensor, "b t"]) -> Float[Tensor, "b t h c"]:
        """Returns the queries alone, for keys and values that other steps or layers have."""
        whole = self.in_proj
        plain = type(whole) is nn.Linear and not (whole._forward_hooks or whole._forward_pre_hooks)
        # a map that is more than its matrix, with another of low rank for instance, is run as it is
        query = F.linear(x, whole.weight[: self.num_heads * self.head_dim]) if plain else whole(x).chunk(3, -1)[0]
        return self._turned(query.unflatten(-1, (self.num_heads, -1)), positions)

    def attend(
        self,
        query: Float[Tensor, "b t h c"],
        key: Float[Tensor, "b s h c"],
        value: Float[Tensor, "b s h c"],
        allowed: Bool[Tensor, "b t s"] | None = None,
    ) -> Float[Tensor, "b t d"]:
        """Returns the output for queries, keys and values: what each query may see, by default no later key."""
        mixed = F.scaled_dot_product_attention(
            query.transpose(1, 2),
            key.transpose(1, 2),
            value.transpose(1, 2),
            attn_mask=None if allowed is None else allowed.unsqueeze(1),
            is_causal=allowed is None,
        )
        return self.out_proj(mixed.transpose(1, 2).flatten(2))

    def initial_state(self, batch_size: int) -> AttentionState:
        """Returns an empty cache; with a window, one of its full size in which nothing exists."""
        weight = self.in_proj.weight
        size = 0 if self.window is None else self.window - 1
        empty = weight.new_zeros(batch_size, size, self.num_heads, self.head_dim)
        present = torch.zeros(batch_size, size, dtype=torch.bool, device=weight.device)
        return empty, empty, present, torch.zeros(batch_size, dtype=torch.int64, device=weight.device)

    def scan(
        self,
        x: Float[Tensor, "b t d"],
        state: AttentionState,
        mask: Bool[Tensor, "b t"] | None = None,
        positions: Int[Tensor, "b t"] | None = None,
    ) -> tuple[Float[Tensor, "b t d"], AttentionState]:
        """Maps a further piece of any length; see `rk.protocols.StatefulSequenceLayer`, and `forward` for positions.

        A long piece is mapped block by block: what is held at once grows with the block and with what a step sees, not
        with the square of the piece.
        """
        size = max(BLOCK, self.window or 0)
        if x.shape[1] <= size or torch.compiler.is_exporting():  # the length of an exported graph is not known
            return self._scan_block(x, state, mask, positions)
        found = []
        for start in range(0, x.shape[1], size):
            span = slice(start, start + size)
            part, places = (None if of is None else of[:, span] for of in (mask, positions))
            y, state = self._scan_block(x[:, span], state, part, places)
            found.append(y)
        return torch.cat(found, 1), state

    def _scan_block(
        self,
        x: Float[Tensor, "b t d"],
        state: AttentionState,
        mask: Bool[Tensor, "b t"] | None,
        positions: Int[Tensor, "b t"] | None,
    ) -> tuple[Float[Tensor, "b t d"], AttentionState]:
        keys, values, present, seen = state
        exists = x.new_ones(x.shape[:2], dtype=torch.bool) if mask is None else mask
        count = exists.cumsum(1)
        query, key, value = self.project(x, seen.unsqueeze(1) + count - 1 if positions is None else positions)
        keys, values = torch.cat([keys, key], 1), torch.cat([values, value], 1)
        present = torch.cat([present, exists], 1)
        y = self.attend(query, keys, values, self._allowed(present, x.shape[1]))
        return y, (*self._kept(keys, values, present, mask), seen + count[:, -1])

    def scan_rows(
        self, x: Float[Tensor, "r 1 d"], state: AttentionState, rows: Int[Tensor, "r"], positions: Int[Tensor, "r 1"]
    ) -> tuple[Float[Tensor, "r 1 d"], AttentionState]:
        """Maps one step of some rows of a batch alone; the state is that of all, of which the others' stay as they are.

        Args:
            x: (r, 1, d_model), the step of each of these rows.
            state: The state of the whole batch, of a layer without a window; it is not changed.
            rows: (r,) int64, which rows they are.
            positions: (r, 1) int64, where each step is in its sequence.
        """
        keys, values, present, seen = state
        query, key, value = self.project(x, positions)
        here = torch.zeros_like(seen).index_fill(0, rows, 1)
        empty = keys.new_zeros(len(keys), 1, *keys.shape[2:])
        keys = torch.cat([keys, empty.index_copy(0, rows, key.to(keys.dtype))], 1)
        values = torch.cat([values, empty.index_copy(0, rows, value.to(keys.dtype))], 1)
        present = torch.cat([present, here.bool().unsqueeze(1)], 1)
        y = self.attend(query, keys[rows], values[rows], present[rows].unsqueeze(1))
        return y, (keys, values, present, seen + here)

    def compacted(self, state: AttentionState) -> AttentionState:
        """Returns the state without entries that no row needs, where they are many: a mask leaves such behind."""
        keys, values, present, seen = state
        kept = needed(present) if self.window is None else None
        if kept is None:
            return state
        rows = torch.arange(len(kept), device=kept.device).unsqueeze(1)
        return keys[rows, kept], values[rows, kept], present[rows, kept], seen

    def _turned(
        self, x: Float[Tensor, "b t h c"], position: Int[Tensor, "b t"] | Int[Tensor, "t"]
    ) -> Float[Tensor, "b t h c"]:
        """Turns pairs of numbers by angles that grow with the position: rotary positions (arXiv:2104.09864, Eq. 34)."""
        half = x.shape[-1] // 2
        dtype = torch.promote_types(x.dtype, torch.float32)  # 16 bits cannot distinguish positions
        rates = self.rope_base ** (-torch.arange(half, device=x.device, dtype=dtype) / half)
        angle = (position.unsqueeze(-1) * rates).unsqueeze(-2)
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        first, second = x.chunk(2, -1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)

    def _allowed(self, present: Bool[Tensor, "b s"], t: int) -> Bool[Tensor, "b t s"]:
        """Which keys the last `t` steps see: those that exist, are not later, and are in the window.

        Every step sees itself, also one that does not exist: its answer means nothing, but is a number.
        """
        s = present.shape[1]
        key = torch.arange(s, device=present.device)
        query = key[s - t :].unsqueeze(1)
        own = key == query
        allowed = present.unsqueeze(1) & (key <= query)
        if self.window is not None:
            place = present.cumsum(1)  # so many exist up to this one
            allowed = allowed & (place[:, s - t :].unsqueeze(2) - place.unsqueeze(1) < self.window)
        return allowed | own

    def _kept(
        self, keys: Tensor, values: Tensor, present: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns what the steps to come can see of the cache; with a window, its newest entries that exist."""
        if self.window is None:
            return keys, values, present
        size = self.window - 1
        start = present.shape[1] - size
        if mask is None:  # those that do not exist are in front, where the first state has them
            return keys[:, start:], values[:, start:], present[:, start:]
        newest = present.to(torch.uint8).argsort(dim=1, stable=True)[:, start:]
        rows = torch.arange(len(present), device=present.device).unsqueeze(1)
        return keys[rows, newest], values[rows, newest], present[rows, newest]


def needed(present: Bool[Tensor, "b s"]) -> Int[Tensor, "b k"] | None:
    """Returns which entries to keep, as many as the row with most has; None where too few would go to pay for it."""
    if not present.numel():
        return None
    most = int(present.sum(1).max())
    if present.shape[1] <= 1.25 * most + 8:
        return None
    return present.to(torch.uint8).argsort(dim=1, stable=True)[:, present.shape[1] - most :]
