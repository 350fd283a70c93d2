"""Sub-networks: a share of the width, a number of heads and a number of blocks."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass

_NAME = re.compile(r"w(?P<width>[\d.]+)(?:-h(?P<heads>\d+))?(?:-d(?P<depth>\d+))?")


@dataclass(frozen=True)
class Subnet:
    """One sub-network.

    Attributes:
        width: Share of the units of the layers that are narrowed.
        depth: Blocks, counted from the first; None: all.
        heads: Heads of each layer of attention, counted from the first; None: all.
        shares: The share of each narrowed layer by itself, in place of `width`; None: of all alike.
    """

    width: float
    depth: int | None
    heads: int | None = None
    shares: tuple[float, ...] | None = None

    @property
    def name(self) -> str:
        """How metrics call it: ``w0.25-d2``, ``w1-h2-d4``."""
        heads = [] if self.heads is None else [f"h{self.heads}"]
        depth = [] if self.depth is None else [f"d{self.depth}"]
        return "-".join([f"w{self.width:g}", *heads, *depth])

    @classmethod
    def named(cls, name: str) -> Subnet | None:
        """Returns the sub-network of a name; None where it is not the name of one."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        depth, heads = (None if match[part] is None else int(match[part]) for part in ("depth", "heads"))
        return cls(float(match["width"]), depth, heads)

    @property
    def order(self) -> tuple[int, int, float]:
        """Sorts by blocks, heads, width."""
        return self.depth or 0, self.heads or 0, self.width


def grid(widths: Iterable[float], depths: Iterable[int | None], heads: Iterable[int | None] = (None,)) -> list[Subnet]:
    """Returns all combinations, the smallest first."""
    order = functools.partial(sorted, key=lambda n: n or 10**9)
    return [Subnet(w, d, h) for w, h, d in itertools.product(sorted(widths), order(heads), order(depths))]
