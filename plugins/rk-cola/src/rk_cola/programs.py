"""Programs of segments (arXiv:2606.06574): a path as the boundaries between segments and what is done to each."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import NamedTuple

from rk_lm.layered import Path

SKIP, KEEP, REPEAT = range(3)
"""What is done to a segment: its layers are left out, run once, or run twice, one after the other."""
LONGEST = 4
"""Most layers of a segment."""


class Program(NamedTuple):
    """A partition of the layers into segments.

    Attributes:
        lengths: Layers of each segment.
        operations: `SKIP`, `KEEP` or `REPEAT` for each.
    """

    lengths: tuple[int, ...]
    operations: tuple[int, ...]

    @property
    def starts(self) -> tuple[int, ...]:
        """The first layer of each segment."""
        found, at = [], 0
        for length in self.lengths:
            found.append(at)
            at += length
        return tuple(found)

    @property
    def path(self) -> Path:
        """The path that the program stands for; () where it skips everything."""
        found: list[int] = []
        for start, length, operation in zip(self.starts, self.lengths, self.operations, strict=True):
            found += [*range(start, start + length)] * operation  # 0, 1 or 2 times
        return tuple(found)


def preference(program: Program) -> tuple[int, int, int, tuple[int, ...]]:
    """Returns the key by which one of the programs of a path is chosen, the smallest first.

    Fewer segments, then fewer of them that are skipped, then more that are repeated, then longer ones earlier.
    """
    counts = [program.operations.count(operation) for operation in (SKIP, REPEAT)]
    return len(program.lengths), counts[0], -counts[1], tuple(-length for length in program.lengths)


@lru_cache(maxsize=2**16)
def parse(path: Path, depth: int, longest: int = LONGEST) -> Program | None:
    """Returns the preferred program of a path, by dynamic programming over (layer, place in the path).

    Args:
        path: Layer numbers.
        depth: Layers of the model.
        longest: Most layers of a segment.

    Returns:
        The program; None for a path that none stands for: one that runs a block three times, or goes back further.
    """

    @cache
    def best(layer: int, place: int) -> Program | None:
        if layer == depth:
            return Program((), ()) if place == len(path) else None
        found: list[Program] = []
        for length in range(1, min(longest, depth - layer) + 1):
            block = tuple(range(layer, layer + length))
            for operation in (SKIP, KEEP, REPEAT):
                taken = block * operation
                if path[place : place + len(taken)] != taken:
                    continue
                rest = best(layer + length, place + len(taken))
                if rest is not None:
                    found.append(Program((length, *rest.lengths), (operation, *rest.operations)))
        return min(found, key=preference, default=None)

    return best(0, 0)
