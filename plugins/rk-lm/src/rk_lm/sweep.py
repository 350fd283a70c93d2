"""The states of many rows along many paths: what an engine runs, whatever a row is.

A path is a tuple of layer numbers. Rows that can run as one batch are a `Group`. Layers have no memory, so a batch may
hold any rows of a group, wherever in its path each of them is.

Layers are taken like floors by a lift that only carries upwards: states that start low collect those that wait above
them, and one sweep runs every layer once. A state that has to go back (to a repeated block) waits for the next sweep,
and shares it with all others that went back. Waiting for them at once makes a quarter more, and smaller, batches.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from rk_lm.layered import Path
from rk_lm.trie import Node, StateCache

Found = TypeVar("Found")
"""What is read from a final state."""


@dataclass
class Counts:
    """Counters of an engine's work.

    Attributes:
        requests: Pairs of item and path.
        layer_steps: Layers that these paths have together.
        layer_rows: States that were run through a layer: less, where prefixes were shared.
        layer_calls: Batches of states that were run through a layer.
        layer_tokens: Tokens of all these states, padding included.
        head_rows: Predictions that were made.
    """

    requests: int = 0
    layer_steps: int = 0
    layer_rows: int = 0
    layer_calls: int = 0
    layer_tokens: int = 0
    head_rows: int = 0


class Group(Protocol):
    """Rows that can run as one batch.

    Attributes:
        tokens: Tokens of a row.
        members: The number of each row's item.
    """

    tokens: int
    members: list[int]

    def first(self, row: int) -> Tensor:
        """Returns the state of a row before its first layer, without the axis of the batch."""
        ...

    def layer(self, i: int, rows: list[int], hidden: Tensor) -> Tensor:
        """Returns the states of some rows after layer `i`.

        Args:
            i: The layer.
            rows: Numbers of rows of this group; one may come more than once.
            hidden: Their states before it, (rows, ...).
        """
        ...


class Sweep(ABC, Generic[Found]):
    """Runs items along paths, and reads what they come to.

    Args:
        groups: The items, numbered from 0; each is a row of one group.
        batch_tokens: Tokens of one batch through a layer; at least one state always fits.
        cache_bytes: Memory for states of prefixes, besides those that are pinned.
        reuse: Keeps the states of prefixes; without it, each path is run from its beginning.
        depth_first: Runs each pair to its end by itself, without batching: for comparison.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        *,
        batch_tokens: int = 1024,
        cache_bytes: int = 2**30,
        reuse: bool = True,
        depth_first: bool = False,
    ) -> None:
        self.groups = list(groups)
        self.batch_tokens = batch_tokens
        self.reuse = reuse
        self.depth_first = depth_first
        self.counts = Counts()
        self._place = {item: (g, row) for g, group in enumerate(self.groups) for row, item in enumerate(group.members)}
        self._roots = [Node(i) for i in range(len(self._place))]
        self._caches: list[StateCache] = []
        tokens = sum(group.tokens * len(group.members) for group in self.groups)
        for group in self.groups:
            state = group.first(0)
            share = group.tokens * len(group.members) / tokens  # groups share the memory by their tokens
            self._caches.append(StateCache(state.shape, state, int(share * cache_bytes)))

    @abstractmethod
    def read(self, states: list[tuple[int, Tensor]]) -> list[Found]:
        """Returns what is read from each (item, final state)."""

    # -- what callers use ------------------------------------------------------------------------------------------

    def score(self, requests: Sequence[tuple[int, Path]]) -> list[Found]:
        """Returns the scores of each (item number, path), in their order. A path may be asked for more than once."""
        results: dict[int, Found] = {}
        groups = [[place] for place in range(len(requests))] if self.depth_first else [list(range(len(requests)))]
        for group in groups:
            self._score(requests, group, results)
        self.counts.requests += len(requests)
        self.counts.layer_steps += sum(len(path) for _, path in requests)
        return [results[place] for place in range(len(requests))]

    def _score(self, requests: Sequence[tuple[int, Path]], group: list[int], results: dict[int, Found]) -> None:
        ends: dict[Node, list[int]] = defaultdict(list)
        needed: list[Node] = []
        for place in group:
            node, missing = self._want(*requests[place])
            ends[node].append(place)
            needed += missing

        def finish(done: list[tuple[Node, Tensor]]) -> None:
            scores = self.read([(node.item, hidden) for node, hidden in done])
            for (node, _), found in zip(done, scores, strict=True):
                for place in ends[node]:
                    results[place] = found

        self._run(list(ends), finish)
        for node in needed:
            node.wanted -= 1
        for node in ends:
            node.prune()

    def pin(self, path: Path) -> None:
        """Keeps the states along `path` for all items for good, once they are computed: most paths begin like it."""
        for root in self._roots:
            node = root
            for layer in path:
                node = node.walk((layer,))
                node.pinned = True

    # -- the sweep -------------------------------------------------------------------------------------------------

    def _want(self, item: int, path: Path) -> tuple[Node, list[Node]]:
        """Marks what is still to be computed on the way of `path`; returns the last state, and what it has marked."""
        node = (self._roots[item] if self.reuse else Node(item)).walk(path)
        start = self._deepest(node)
        missing: list[Node] = []
        above: Node | None = node
        while above is not None and above is not start:
            above.wanted += 1
            missing.append(above)
            above = above.parent
        return node, missing

    @torch.inference_mode()
    def _run(self, ends: list[Node], finish: Callable[[list[tuple[Node, Tensor]]], None]) -> None:
        """Computes the states of `ends` and passes them on, batch by batch."""
        waiting: dict[int, dict[Node, Tensor]] = defaultdict(dict)  # layer -> what it is to compute, with its inputs
        targets = set(ends)
        started: set[Node] = set()
        for start in dict.fromkeys(self._deepest(node) for node in ends):
            self._state(start)
            self._offer(start, self._cache(start).use(start), waiting, started)
        if known := [(node, self._state(node)) for node in ends if node.hidden is not None or node.parent is None]:
            finish(known)
            targets -= {node for node, _ in known}
        layer = 0
        while waiting:
            layer = min((i for i in waiting if i >= layer), default=min(waiting))
            states = waiting.pop(layer)
            for nodes in self._batches(states):
                out = self._layer(layer, nodes, [states[node] for node in nodes])
                done = []
                for node, hidden in zip(nodes, out, strict=True):
                    if node in targets:
                        done.append((node, hidden))
                    if self.reuse:
                        self._cache(node).put(node, hidden)
                    self._offer(node, hidden, waiting, started)
                if done:
                    finish(done)

    def _deepest(self, node: Node) -> Node:
        """Returns the last state on the way to `node` that is there."""
        while node.hidden is None and node.parent is not None:
            node = node.parent
        return node

    def _offer(self, node: Node, hidden: Tensor, waiting: dict[int, dict[Node, Tensor]], started: set[Node]) -> None:
        """Puts those states that follow `node`, and are needed, before their layers."""
        for layer, child in node.children.items():
            if child.wanted and child.hidden is None and child not in started:
                started.add(child)
                waiting[layer][child] = hidden

    def _batches(self, states: dict[Node, Tensor]) -> list[list[Node]]:
        """Splits states into batches of one group, with at most `batch_tokens` tokens each."""
        by_group: dict[int, list[Node]] = defaultdict(list)
        for node in states:
            by_group[self._place[node.item][0]].append(node)
        batches = []
        for number, nodes in by_group.items():
            size = max(1, self.batch_tokens // self.groups[number].tokens)
            count = -(-len(nodes) // size)
            size = -(-len(nodes) // count)  # batches of equal size
            batches += [nodes[i : i + size] for i in range(0, len(nodes), size)]
        return batches

    def _layer(self, layer: int, nodes: list[Node], inputs: list[Tensor]) -> Tensor:
        group = self.groups[self._place[nodes[0].item][0]]
        out = group.layer(layer, [self._place[node.item][1] for node in nodes], torch.stack(inputs))
        self.counts.layer_calls += 1
        self.counts.layer_rows += len(nodes)
        self.counts.layer_tokens += len(nodes) * group.tokens
        return out

    def _cache(self, node: Node) -> StateCache:
        return self._caches[self._place[node.item][0]]

    def _state(self, node: Node) -> Tensor:
        """Returns the state of `node`, which is there, or is the first one."""
        if node.hidden is None:
            group, row = self._place[node.item]
            node.hidden = self.groups[group].first(row)
        return node.hidden
