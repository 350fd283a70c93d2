"""One pass of a batch: which token runs in which recursion, and what later recursions read of earlier ones."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rk_mor.keys import Keys
from rk_mor.packing import Packed, Rows

# b batch, t time, n recursions, d width


@dataclass
class Route:
    """What a pass carries from recursion to recursion. Recursions have numbers from 1.

    Attributes:
        exists: (b, t) bool, which steps exist; None: all.
        positions: (b, t) int64, where each step is in its sequence.
        counted: Whether positions are 0, 1, 2, ... in each row: then layers need not be given them.
        in_place: Whether tokens that do not run are masked, and not left out: slower, but of one shape.
        active: By recursion, (b, t) bool, which tokens ran; None: all.
        candidates: By recursion, those among which they were chosen; None: all.
        logits: By recursion, (b, t), the scores of a router that belongs to the recursion.
        depth_logits: (b, t, n), the scores of a router that chose the number of recursions at once.
        auxiliary: By recursion, (b, t), the scores of the router that decides without looking ahead.
        depths: (b, t) int64, how many recursions were chosen, where they were at once.
        gates: (b, t), the gate of that number.
        entered: (b, t, d), the tokens before their first recursion, where later ones add to these.
        keys: Keys and values of the first recursion, where later ones read them.
        first: The tokens that have these.
    """

    exists: Bool[Tensor, "b t"] | None
    positions: Int[Tensor, "b t"]
    counted: bool = True
    in_place: bool = False
    active: dict[int, Bool[Tensor, "b t"] | None] = field(default_factory=dict)
    candidates: dict[int, Bool[Tensor, "b t"] | None] = field(default_factory=dict)
    logits: dict[int, Float[Tensor, "b t"]] = field(default_factory=dict)
    auxiliary: dict[int, Float[Tensor, "b t"]] = field(default_factory=dict)
    depth_logits: Float[Tensor, "b t n"] | None = None
    depths: Int[Tensor, "b t"] | None = None
    gates: Float[Tensor, "b t"] | None = None
    entered: Float[Tensor, "b t d"] | None = None
    keys: Keys | None = None
    first: Packed = field(default_factory=Packed)

    def before(self, number: int) -> Bool[Tensor, "b t"] | None:
        """Returns the tokens that ran in the recursion before; all that exist, where there was none."""
        earlier = [other for other in self.active if other < number]
        return self.active[max(earlier)] if earlier else self.exists

    def pack(self, active: Bool[Tensor, "b t"] | None) -> Packed:
        """Returns these tokens as a short sequence."""
        if self.in_place or active is None:
            return Packed.in_place(active)
        return Packed.of(active)

    def of_rows(self, rows: Rows) -> Route:
        """Returns what some rows of a single step need of it."""
        keys = None if self.keys is None else self.keys.of_rows(rows)
        first = self.first.of_rows(rows)
        active = {number: None if of is None else rows.take(of) for number, of in self.active.items()}
        return Route(None, rows.take(self.positions), counted=False, active=active, keys=keys, first=first)

    def whole(self, active: Bool[Tensor, "b t"] | None) -> Bool[Tensor, "b t"]:
        """Returns which tokens these are, where None means all."""
        return torch.ones_like(self.positions, dtype=torch.bool) if active is None else active

    def stacked(self, found: dict[int, Tensor | None], count: int) -> Bool[Tensor, "b t n"]:
        """Returns which tokens these are in each recursion; none, where a recursion has not run."""
        none = torch.zeros_like(self.positions, dtype=torch.bool)
        return torch.stack([self.whole(found[r]) if r in found else none for r in range(1, count + 1)], -1)
