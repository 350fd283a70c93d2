"""What the layers of all slots keep between tokens: states of any layer that streams, and keys and values that grow."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from rk_sequence.attention import Attention
from rk_sequence.model import Block
from torch import Tensor

from rk.states import map_states


class FixedSlots:
    """States whose size stays the same: of recurrent layers, or of attention within a window.

    Args:
        block: A block whose layer streams.
        count: Layers times slots: how many states there are.
        capacity: Not used: these states do not grow.
    """

    def __init__(self, block: Block, count: int, capacity: int) -> None:
        self.state = map_states(torch.clone, block.streaming.initial_state(count))

    def fill(self, slot: int, state: Any) -> None:
        """Takes the state of a sequence after its prompt; its tensors have a batch of 1."""
        map_states(lambda kept, new: kept[slot : slot + 1].copy_(new), self.state, state)

    def scan(
        self,
        block: Block,
        x: Float[Tensor, "rows time d"],
        rows: Int[Tensor, "rows"],
        mask: Bool[Tensor, "rows time"] | None,
    ) -> Float[Tensor, "rows time d"]:
        """Maps a further piece of some slots, and keeps their states after it.

        Args:
            block: The layer's block.
            x: The pieces; where a mask is False there is no step. Such places are at the end.
            rows: The state that each piece belongs to; none is there twice.
            mask: None: all steps exist.
        """
        before = map_states(lambda kept: kept.index_select(0, rows), self.state)
        y, after = block.scan(x, before, mask)
        map_states(lambda kept, new: kept.index_copy_(0, rows, new), self.state, after)
        return y


class GrowingSlots:
    """Keys and values of attention to all steps before: each slot has as many as it has had steps.

    Args:
        block: A block of `rk_sequence.attention.Attention` without a window.
        count: Layers times slots: how many states there are.
        capacity: The most steps of a sequence.
    """

    def __init__(self, block: Block, count: int, capacity: int) -> None:
        keys, _, _, seen = block.streaming.initial_state(count)
        self.keys = keys.new_zeros(count, capacity, *keys.shape[2:])
        self.values = torch.zeros_like(self.keys)
        self.lengths = seen.clone()

    def fill(self, slot: int, state: Any) -> None:
        """Takes the state of a sequence after its prompt; its tensors have a batch of 1."""
        keys, values, _, seen = state
        length = int(seen)
        self.keys[slot, :length], self.values[slot, :length] = keys[0], values[0]
        self.lengths[slot] = length

    def scan(
        self,
        block: Block,
        x: Float[Tensor, "rows time d"],
        rows: Int[Tensor, "rows"],
        mask: Bool[Tensor, "rows time"] | None,
    ) -> Float[Tensor, "rows time d"]:
        """Maps a further piece of some slots, and keeps their keys and values; see `FixedSlots.scan`."""
        lengths = self.lengths.index_select(0, rows)
        longest = int(lengths.max())
        present = torch.arange(longest, device=x.device) < lengths.unsqueeze(1)
        state = self.keys[rows, :longest], self.values[rows, :longest], present, lengths
        y, (keys, values, _, seen) = block.scan(x, state, mask)
        if mask is None and x.shape[1] == 1:
            self.keys[rows, lengths], self.values[rows, lengths] = keys[:, longest], values[:, longest]
        else:
            exists = x.new_ones(x.shape[:2], dtype=torch.bool) if mask is None else mask
            row, step = exists.nonzero(as_tuple=True)
            place = (rows[row], lengths[row] + step)
            self.keys[place], self.values[place] = keys[row, longest + step], values[row, longest + step]
        self.lengths[rows] = seen
        return y

    def copy_last(self, source: Int[Tensor, "rows"], target: Int[Tensor, "rows"]) -> None:
        """Gives states the newest key and value of others, as their own next ones."""
        last = self.lengths[source] - 1
        place = (target, self.lengths[target])
        self.keys[place], self.values[place] = self.keys[source, last], self.values[source, last]
        self.lengths[target] += 1


Room = FixedSlots | GrowingSlots
"""The states of one block, for all slots and loops."""


def slots_for(block: Block, count: int, capacity: int) -> Room:
    """Returns room for the states of a block's layer."""
    grows = isinstance(block.layer, Attention) and block.layer.window is None
    return (GrowingSlots if grows else FixedSlots)(block, count, capacity)
