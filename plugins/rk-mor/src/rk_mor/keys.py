"""Keys and values of one recursion, layer by layer, which later recursions and later pieces read."""

from __future__ import annotations

from typing import TypedDict

import torch
from jaxtyping import Bool, Float, Int
from rk_sequence.attention import needed
from torch import Tensor

from rk_mor.packing import Rows

# b batch, s tokens that have keys, k tokens that ask, h heads, c width of a head


class KeyState(TypedDict):
    """What is kept of them between two pieces of a sequence."""

    keys: tuple[Float[Tensor, "b s h c"], ...]
    values: tuple[Float[Tensor, "b s h c"], ...]
    positions: Int[Tensor, "b s"]
    exists: Bool[Tensor, "b s"]


class Keys:
    """Keys and values of tokens by layer, and where these tokens stand.

    Args:
        positions: (b, k) int64, of the tokens of this piece.
        exists: (b, k) bool, which of them run; None: all.
        past: Those of the pieces before.
        compact: Whether entries that no row needs are dropped between pieces.
    """

    def __init__(
        self,
        positions: Int[Tensor, "b k"],
        exists: Bool[Tensor, "b k"] | None,
        past: KeyState | None = None,
        compact: bool = True,
    ) -> None:
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self._past = past
        self._ragged = compact and exists is not None
        if past is not None:
            here = torch.ones_like(positions, dtype=torch.bool) if exists is None else exists
            positions = torch.cat([past["positions"], positions], 1)
            exists = torch.cat([past["exists"], here], 1)
        self.positions, self.exists = positions, exists

    def add(self, key: Float[Tensor, "b k h c"], value: Float[Tensor, "b k h c"]) -> None:
        """Adds the next layer's, of this piece."""
        layer = len(self.keys)
        if self._past is not None:
            key = torch.cat([self._past["keys"][layer], key], 1)
            value = torch.cat([self._past["values"][layer], value], 1)
        self.keys.append(key)
        self.values.append(value)

    def seen_from(self, positions: Int[Tensor, "b k"]) -> Bool[Tensor, "b k s"]:
        """Returns which keys tokens at these positions may see: those that exist and are not later."""
        found = self.positions.unsqueeze(1) <= positions.unsqueeze(2)
        return found if self.exists is None else found & self.exists.unsqueeze(1)

    def of_rows(self, rows: Rows) -> Keys:
        """Returns those of some rows."""
        exists = None if self.exists is None else rows.take(self.exists)
        found = Keys(rows.take(self.positions), exists)
        found.keys, found.values = [rows.take(k) for k in self.keys], [rows.take(v) for v in self.values]
        return found

    def state(self) -> KeyState:
        """Returns what the next piece needs."""
        exists = torch.ones_like(self.positions, dtype=torch.bool) if self.exists is None else self.exists
        state: KeyState = {
            "keys": tuple(self.keys),
            "values": tuple(self.values),
            "positions": self.positions,
            "exists": exists,
        }
        return compacted(state) if self._ragged else state


def compacted(state: KeyState) -> KeyState:
    """Returns the state without entries that no row needs, where they are many."""
    exists = state["exists"]
    kept = needed(exists)
    if kept is None:
        return state
    rows = torch.arange(len(kept), device=kept.device).unsqueeze(1)
    return {
        "keys": tuple(k[rows, kept] for k in state["keys"]),
        "values": tuple(v[rows, kept] for v in state["values"]),
        "positions": state["positions"][rows, kept],
        "exists": exists[rows, kept],
    }


def no_keys(layers: int, like: Float[Tensor, "b zero h c"]) -> KeyState:
    """Returns the state before the first token.

    Args:
        layers: How many have keys.
        like: No key of one of them.
    """
    none = torch.zeros(like.shape[:2], dtype=torch.int64, device=like.device)
    return {"keys": (like,) * layers, "values": (like,) * layers, "positions": none, "exists": none.bool()}


def at_least_one(allowed: Bool[Tensor, "b k s"]) -> Bool[Tensor, "b k s"]:
    """Lets those see everything who could see nothing: fillers, whose answers are thrown away but must be numbers."""
    return allowed | ~allowed.any(-1, keepdim=True)
