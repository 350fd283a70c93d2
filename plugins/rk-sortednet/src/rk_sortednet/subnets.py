"""Sub-networks: a share of the width and a number of blocks."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Subnet:
    """One sub-network.

    Attributes:
        width: Share of the units of the layers that are narrowed.
        depth: Blocks, counted from the first; None: all.
    """

    width: float
    depth: int | None

    @property
    def name(self) -> str:
        """How metrics call it: ``w0.25-d2``."""
        parts = [f"w{self.width:g}", *([] if self.depth is None else [f"d{self.depth}"])]
        return "-".join(parts)


def grid(widths: Iterable[float], depths: Iterable[int | None]) -> list[Subnet]:
    """Returns all combinations, the smallest first."""
    return [Subnet(w, d) for w, d in itertools.product(sorted(widths), sorted(depths, key=lambda d: d or 10**9))]
