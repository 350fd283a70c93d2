"""Methods that the tree search is compared with, at the same budget."""

from __future__ import annotations

import random
from collections.abc import Hashable

from rk_lm.layered import Path

from rk_cola.mcts import TRIES, Finding
from rk_cola.spaces import Space


class RandomPaths:
    """Programs of one to `max_edits` random actions, whatever became of the earlier ones.

    Args:
        space: Programs and actions.
        seed: Of this sample.
        max_edits: Most actions of a program.
    """

    def __init__(self, space: Space, seed: str, max_edits: int = 3) -> None:
        self.space = space
        self.random = random.Random(seed)
        self.max_edits = max_edits
        self._known: set[Path] = set()

    def propose(self) -> Path | None:
        if not self._known:
            return self._take(self.space.root)
        for _ in range(TRIES):
            state: Hashable | None = self.space.root
            for _ in range(self.random.randint(1, self.max_edits)):
                state = None if state is None else self.space.edit(state, self.random)
            if state is not None and self.space.path(state) not in self._known:
                return self._take(state)
        return None

    def _take(self, state: Hashable) -> Path:
        path = self.space.path(state)
        self._known.add(path)
        return path

    def observe(self, finding: Finding) -> None:
        pass


class SingleEdits:
    """Every program of one action, in random order: all of them, where the budget suffices.

    Args:
        space: Programs and actions.
        seed: Of this sample.
    """

    def __init__(self, space: Space, seed: str) -> None:
        paths = dict.fromkeys(space.path(state) for state in space.singles())
        full = space.path(space.root)
        order = [path for path in paths if path != full]
        random.Random(seed).shuffle(order)
        self._left = iter([full, *order])

    def propose(self) -> Path | None:
        return next(self._left, None)

    def observe(self, finding: Finding) -> None:
        pass


class Beam:
    """A beam over programs: the best ones by validity, then by score, get `children` random actions each.

    Args:
        space: Programs and actions.
        seed: Of this sample.
        size: Programs that are kept.
        children: New programs from each of them; from the root, as many as all of them would have.
    """

    def __init__(self, space: Space, seed: str, size: int = 8, children: int = 5) -> None:
        self.space = space
        self.random = random.Random(seed)
        self.size = size
        self.children = children
        self._known = {space.path(space.root)}
        self._found: list[tuple[bool, float, int, Hashable]] = []
        self._beam: list[Hashable] = []
        self._left: list[Hashable] = [space.root]
        self._last: Hashable = None

    def propose(self) -> Path | None:
        if not self._left and not self._grow():
            return None
        self._last = self._left.pop(0)
        return self.space.path(self._last)

    def observe(self, finding: Finding) -> None:
        path = self.space.path(self._last)
        self._found.append((finding.valid, finding.score, -len(path), self._last))

    def _grow(self) -> bool:
        """Draws the next generation from the best programs so far."""
        self._found.sort(key=lambda one: one[:3], reverse=True)
        self._beam = [state for *_, state in self._found[: self.size]]
        for state in self._beam:
            wanted = self.children * (self.size if len(self._beam) == 1 else 1)
            for _ in range(wanted):
                self._draw(state)
        return bool(self._left)

    def _draw(self, state: Hashable) -> None:
        for _ in range(TRIES):
            new = self.space.edit(state, self.random)
            if new is not None and (path := self.space.path(new)) not in self._known:
                self._known.add(path)
                self._left.append(new)
                return
