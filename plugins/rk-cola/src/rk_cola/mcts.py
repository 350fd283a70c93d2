"""Monte-Carlo tree search over programs (arXiv:2507.07996, Sec. 3 and App. B)."""

from __future__ import annotations

import math
import random
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from rk_lm.layered import Path

from rk_cola.spaces import Space

TRIES = 64
"""Draws from the actions of a node before it counts as having no new one."""


@dataclass(frozen=True)
class Finding:
    """The results of an evaluated path.

    Attributes:
        valid: Whether it answers right.
        score: How close it comes: the log-probability of the right answer, or its margin over the other options.
    """

    valid: bool
    score: float


class Method(Protocol):
    """Proposes paths for one sample, one at a time, each at most once; the first one is the full path."""

    def propose(self) -> Path | None:
        """Returns the next path to evaluate; None when there is no other."""
        ...

    def observe(self, finding: Finding) -> None:
        """Takes what became of the path that was proposed last."""
        ...


@dataclass(eq=False)
class Node:
    """A program that has been evaluated, or is about to be."""

    state: Hashable
    length: int
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)
    visits: int = 0
    value: float = 0.0
    reward: float = 0.0
    closed: bool = False
    """Whether its actions are used up."""


class TreeSearch:
    """One sample's tree.

    A node is evaluated when it is made, so a simulation is one path. Actions that lead to a path which the tree knows
    already are drawn again: a path has one node.

    Args:
        space: Programs and actions.
        depth: Layers of the model, N in the length penalty.
        seed: Of this tree alone. One seed for all would make all trees try the same edits, and find the same program.
        c: Weight of exploration.
        length_penalty: lambda, weight of the path's length.
        epsilon: Probability of leaving the best child for a new one.
        widening_alpha: A node of v visits has up to ceil(alpha * v ** beta) children before one of them is visited.
        widening_beta: The exponent.
        visits: V in the bound: all simulations of the tree, as in the paper, or those of the parent, as is usual.
    """

    def __init__(
        self,
        space: Space,
        depth: int,
        seed: str,
        *,
        c: float = math.sqrt(2),
        length_penalty: float = 5.0,
        epsilon: float = 0.1,
        widening_alpha: float = 2.0,
        widening_beta: float = 0.5,
        visits: Literal["global", "parent"] = "global",
    ) -> None:
        self.space = space
        self.depth = depth
        self.random = random.Random(seed)
        self.c = c
        self.length_penalty = length_penalty
        self.epsilon = epsilon
        self.alpha = widening_alpha
        self.beta = widening_beta
        self.visits = visits
        self.simulations = 0
        path = space.path(space.root)
        self.root = Node(space.root, len(path))
        self._known = {path}
        self._last: Node | None = None

    def propose(self) -> Path | None:
        if self._last is None:
            self._last = self.root
            return self.space.path(self.root.state)
        for _ in range(TRIES):
            node = self._select()
            child = self._expand(node)
            if child is not None:
                self._last = child
                return self.space.path(child.state)
            if self.root.closed and not self.root.children:
                return None
            self._back_up(node, node.reward)  # a dead end: what is known of it is known once more
        return None

    def observe(self, finding: Finding) -> None:
        if self._last is None:
            raise ValueError("nothing was proposed that could have been observed")
        self._last.reward = float(finding.valid)
        self._back_up(self._last, self._last.reward)

    def _select(self) -> Node:
        """Descends from the root to the node that gets a child."""
        node = self.root
        while node.children and (node.closed or len(node.children) >= self._width(node)):
            if not node.closed and self.random.random() < self.epsilon:
                break  # Alg. 1: a random unexplored child
            node = max(node.children, key=lambda child: self._bound(child, node))
        return node

    def _width(self, node: Node) -> int:
        return math.ceil(self.alpha * node.visits**self.beta)

    def _bound(self, child: Node, parent: Node) -> float:
        """UCB(P) = Q/v + c sqrt(ln V / v) - lambda |P| / N (Sec. 3)."""
        total = self.simulations if self.visits == "global" else parent.visits
        explore = self.c * math.sqrt(math.log(max(total, 1)) / child.visits)
        return child.value / child.visits + explore - self.length_penalty * child.length / self.depth

    def _expand(self, node: Node) -> Node | None:
        if node.closed:
            return None
        for _ in range(TRIES):
            state = self.space.edit(node.state, self.random)
            if state is None:
                continue
            path = self.space.path(state)
            if path not in self._known:
                self._known.add(path)
                child = Node(state, len(path), node)
                node.children.append(child)
                return child
        node.closed = True
        return None

    def _back_up(self, node: Node | None, reward: float) -> None:
        self.simulations += 1
        while node is not None:
            node.value += reward
            node.visits += 1
            node = node.parent

    @property
    def height(self) -> int:
        """Edits on the longest way from the root."""

        def below(node: Node) -> int:
            return 1 + max(map(below, node.children)) if node.children else 0

        return below(self.root)
