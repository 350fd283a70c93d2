"""The tokens that a recursion runs on, as a short sequence: taken out of the long one, and put back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

# b batch, t time, k tokens of the short sequence, d width


@dataclass(frozen=True)
class Packed:
    """Which tokens of a batch run, in ascending order, so that the short sequence is causal as the long one is.

    Rows with fewer tokens than others are filled up at the end: no token sees what is behind it, so a causal layer
    needs no mask.

    Attributes:
        index: (b, k) int64, where the tokens of the short sequence are in the long one; None: all of them, in place.
        exists: (b, k) bool, which of them run; None: all.
        empty: Whether no token runs.
    """

    index: Int[Tensor, "b k"] | None = None
    exists: Bool[Tensor, "b k"] | None = None
    empty: bool = False

    @classmethod
    def of(cls, active: Bool[Tensor, "b t"]) -> Self:
        """Packs the tokens that are True in `active`, of any number in each row."""
        counts = active.sum(1)
        least, most = torch.stack([counts.min(), counts.max()]).tolist()
        if least == active.shape[1]:
            return cls()
        index = (~active).to(torch.uint8).argsort(dim=1, stable=True)[:, :most]  # active ones first, in their order
        if least == most:
            return cls(index, None, empty=most == 0)
        return cls(index, torch.arange(most, device=active.device) < counts.unsqueeze(1))

    @classmethod
    def in_place(cls, active: Bool[Tensor, "b t"] | None) -> Self:
        """Leaves all tokens where they are and masks those that do not run: it saves nothing, but has one shape."""
        return cls(None, active)

    @property
    def right_padded(self) -> bool:
        """Whether tokens that do not run are behind all that do: then a causal layer needs no mask."""
        return self.index is not None or self.exists is None

    def of_rows(self, rows: Rows) -> Packed:
        """Returns the tokens of some rows."""
        index, exists = (None if of is None else rows.take(of) for of in (self.index, self.exists))
        return Packed(index, exists, self.empty)

    def take(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b k d"]:
        """Returns the rows of the tokens that run."""
        return x if self.index is None else x.flatten(0, 1)[self._flat(x.shape[1])].unflatten(0, self.index.shape)

    def take_numbers(self, x: Tensor) -> Tensor:
        """Returns the same of one number per token, (b, t) -> (b, k)."""
        return x if self.index is None else x.gather(1, self.index)

    def put(self, x: Float[Tensor, "b t d"], new: Float[Tensor, "b k d"]) -> Float[Tensor, "b t d"]:
        """Returns `x` with the rows of `new` in the places of the tokens that run."""
        new = new.to(x.dtype)
        if self.exists is not None:
            new = torch.where(self.exists.unsqueeze(-1), new, self.take(x))
        if self.index is None:
            return new
        return x.flatten(0, 1).index_copy(0, self._flat(x.shape[1]), new.flatten(0, 1)).view_as(x)

    def _flat(self, t: int) -> Int[Tensor, "rows"]:
        assert self.index is not None
        start = torch.arange(len(self.index), device=self.index.device).unsqueeze(1) * t
        return (self.index + start).flatten()


class Rows:
    """The rows of a batch of single steps whose token runs; the others are left out.

    Args:
        packed: The tokens, one in each row.
    """

    def __init__(self, packed: Packed) -> None:
        assert packed.exists is not None
        self.rows = packed.exists[:, 0].nonzero().squeeze(1)

    def take(self, x: Tensor) -> Tensor:
        """Returns these rows."""
        return x.index_select(0, self.rows)

    take_numbers = take

    def put(self, x: Tensor, new: Tensor) -> Tensor:
        """Returns `x` with these rows in their places."""
        return x.index_copy(0, self.rows, new.to(x.dtype))

    def put_grown(self, x: Tensor, new: Tensor) -> Tensor:
        """Returns the same of states, which may have an entry more by now: other rows get one that does not exist."""
        if new.dim() > 1 and new.shape[1] > x.shape[1]:
            x = torch.cat([x, x.new_zeros(x.shape[0], new.shape[1] - x.shape[1], *x.shape[2:])], 1)
        return self.put(x, new)
