"""The actions on a path: the two spaces of programs, and sampling from them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, Protocol, TypeAlias

from rk_lm.layered import Path

Ops = Literal["skip", "repeat", "both"]


State: TypeAlias = Any
"""What stands for a path: each space has states of its own, which can be keys of a dict."""


class Space(Protocol):
    """States that stand for paths, from the full path on."""

    @property
    def root(self) -> State: ...

    def path(self, state: State) -> Path:
        """Returns the path that `state` stands for."""
        ...

    def edit(self, state: State, random: random.Random) -> State | None:
        """Returns `state` after one action drawn at random; None where the draw leads nowhere."""
        ...

    def singles(self) -> list[State]:
        """Returns every state that is one action away from the root."""
        ...


@dataclass(frozen=True)
class Limits:
    """The bounds of all programs.

    Attributes:
        depth: Layers of the model, D.
        ops: What may be done.
        max_block: Longest block of an action, k.
        max_repeats: Most additional copies of a block, r.
        max_length: Longest path.
        protect_first: Layers at the beginning that are left as they are.
        protect_last: Layers at the end that are left as they are.
    """

    depth: int
    ops: Ops = "both"
    max_block: int = 4
    max_repeats: int = 4
    max_length: int = 45
    protect_first: int = 1
    protect_last: int = 0

    def __post_init__(self) -> None:
        if self.protect_first + self.protect_last >= self.depth:
            raise ValueError(f"protect_first and protect_last leave no layer of {self.depth} to change")
        if self.max_length < self.depth:
            raise ValueError("max_len_ratio must be >= 1: no path may be longer")

    def op(self, random: random.Random) -> str:
        """Draws what is done."""
        return random.choice(("skip", "repeat")) if self.ops == "both" else self.ops


class Edits:
    """Edits of a sequence: skip a block of 1 to 4 entries, or insert 1 to 4 more copies after it (CoLa, Sec. 3).

    A state is the path itself; edits act on the path as it is, so copies can be skipped and repeated too.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.root: Path = tuple(range(limits.depth))

    def path(self, state: Path) -> Path:
        return state

    def edit(self, state: Path, random: random.Random) -> Path | None:
        limits = self.limits
        free = len(state) - limits.protect_first - limits.protect_last
        if free < 1:
            return None
        skip = limits.op(random) == "skip"
        k = random.randint(1, min(limits.max_block, free))
        r = 0 if skip else random.randint(1, limits.max_repeats)
        start = limits.protect_first + random.randrange(free - k + 1)
        if len(state) + k * r > limits.max_length or (skip and k == len(state)):
            return None
        block = state[start : start + k]
        return state[:start] + state[start + k :] if skip else state[: start + k] + block * r + state[start + k :]

    def singles(self) -> list[Path]:
        limits, root = self.limits, self.root
        found: dict[Path, None] = {}
        end = limits.depth - limits.protect_last
        for k, start in product(range(1, limits.max_block + 1), range(limits.protect_first, end)):
            if start + k > end:
                continue
            if limits.ops != "repeat" and k < limits.depth:
                found[root[:start] + root[start + k :]] = None
            if limits.ops != "skip":
                for r in range(1, limits.max_repeats + 1):
                    if limits.depth + k * r <= limits.max_length:
                        found[root[: start + k] + root[start : start + k] * r + root[start + k :]] = None
        return list(found)


Segment = tuple[int, int, bool]
"""First layer, number of layers, and whether they are repeated (once) or skipped."""


class Segments:
    """Partitions into segments, each kept, skipped or run twice (the programs of PoLar, arXiv:2606.06574).

    A state is the segments that are not kept, in order; they never overlap, and nothing is done twice to a layer.
    """

    root: tuple[Segment, ...] = ()

    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    def path(self, state: tuple[Segment, ...]) -> Path:
        path: list[int] = []
        layer = 0
        for start, k, repeat in state:
            path += range(layer, start + k if repeat else start)
            if repeat:
                path += range(start, start + k)
            layer = start + k
        return (*path, *range(layer, self.limits.depth))

    def edit(self, state: tuple[Segment, ...], random: random.Random) -> tuple[Segment, ...] | None:
        limits = self.limits
        repeat = limits.op(random) == "repeat"
        k = random.randint(1, limits.max_block)
        last = limits.depth - limits.protect_last - k
        if last < limits.protect_first:
            return None
        start = random.randint(limits.protect_first, last)
        return self._with(state, (start, k, repeat))

    def _with(self, state: tuple[Segment, ...], new: Segment) -> tuple[Segment, ...] | None:
        start, k, _ = new
        if any(start < s + n and s < start + k for s, n, _ in state):
            return None
        found = tuple(sorted((*state, new)))
        return found if 0 < len(self.path(found)) <= self.limits.max_length else None

    def singles(self) -> list[tuple[Segment, ...]]:
        limits = self.limits
        ops = {"skip": (False,), "repeat": (True,), "both": (False, True)}[limits.ops]
        end = limits.depth - limits.protect_last
        blocks = product(range(1, limits.max_block + 1), range(limits.protect_first, end), ops)
        return [s for k, a, op in blocks if a + k <= end and (s := self._with((), (a, k, op))) is not None]
