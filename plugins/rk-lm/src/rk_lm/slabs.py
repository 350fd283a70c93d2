"""Memory for many tensors of one shape that come and go."""

from __future__ import annotations

import torch
from torch import Tensor

SLAB_BYTES = 48 * 2**20
"""More than what C libraries ever serve from the heap (glibc: up to 32 MiB)."""
SLAB_SLOTS = 4096
"""Slots of a few bytes are not worth more."""


class Slabs:
    """Slots of one shape, in a few large pieces.

    States that live long, allocated one by one among the short-lived tensors of a forward pass, leave the heap full of
    holes: a search that kept 1 GiB of them was seen to grow to 7. A slot that is given back is taken again.

    Args:
        shape: Of one tensor.
        like: Has their dtype and device.
        limit: Most slots there will be; None: no limit.
    """

    def __init__(self, shape: torch.Size, like: Tensor, limit: int | None = None) -> None:
        self.shape = shape
        self.slot_bytes = shape.numel() * like.element_size()
        self._like = like
        self._limit = limit
        self._slots: list[Tensor] = []
        self._free: list[int] = []

    def take(self) -> tuple[int, Tensor]:
        """Returns the number of a free slot, and the slot. There must be one: see `full`."""
        if not self._free:
            self._grow()
        number = self._free.pop()
        return number, self._slots[number]

    def give_back(self, number: int) -> None:
        """Lets slot `number` be taken again."""
        self._free.append(number)

    @property
    def full(self) -> bool:
        """Whether all slots that there may be are taken."""
        return not self._free and self._limit is not None and len(self._slots) >= self._limit

    def _grow(self) -> None:
        count = min(SLAB_SLOTS, max(1, SLAB_BYTES // self.slot_bytes))
        if self._limit is not None:
            count = min(count, self._limit - len(self._slots))
        slab = self._like.new_empty((count, *self.shape))
        self._free += range(len(self._slots) + count - 1, len(self._slots) - 1, -1)
        self._slots += slab.unbind()
