"""Many (item, path) pairs at once.

Four ideas, each without effect on what is computed:

1. Teacher forcing: an answer is right under greedy decoding exactly when each of its tokens is the most probable one
   after the right tokens before it. One forward pass replaces the generation; there is no cache of keys and values.
   All continuations of a prompt share that pass (`rk_lm.items`).
2. Prefixes: the states after the first layers of a path are those of every path that begins so (`rk_lm.trie`).
3. Depth: all states that need layer i next run through it as one batch, whatever their item, and wherever in its path
   each of them is. Layers have no memory, so only the number of tokens must agree; it is padded, on the right.
4. The head is applied where something is predicted, and nowhere else.

Layers are taken like floors by a lift that only carries upwards: states that start low collect those that wait above
them, and one sweep runs every layer once. A state that has to go back (to a repeated block) waits for the next sweep,
and shares it with all others that went back. Waiting for them at once makes a quarter more, and smaller, batches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rk_lm.items import Item, Scores, pack
from rk_lm.layered import Context, LayeredModel, Path
from rk_lm.trie import Node, StateCache

HEAD_BYTES = 128 * 2**20
"""Bytes of logits that are held at a time."""


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


@dataclass
class _Bucket:
    """Items of one padded length."""

    length: int
    members: list[int] = field(default_factory=list)
    tokens: Tensor = field(init=False)
    context: Context = field(init=False)
    cache: StateCache = field(init=False)


class Engine:
    """Scores items under paths.

    Args:
        model: The layers.
        items: What is scored; numbered from 0.
        batch_tokens: Tokens of one batch through a layer; at least one state always fits.
        cache_bytes: Memory for states of prefixes, besides those of the full path.
        padding: Items run together where no more than this share of their tokens is padding.
        reuse: Keeps the states of prefixes; without it, each path is run from the embedding on.
        depth_first: Runs each pair to its end by itself, without batching: for comparison.
    """

    def __init__(
        self,
        model: LayeredModel,
        items: Sequence[Item],
        *,
        batch_tokens: int = 1024,
        cache_bytes: int = 2**30,
        padding: float = 0.2,
        reuse: bool = True,
        depth_first: bool = False,
    ) -> None:
        self.model = model
        self.items = list(items)
        self.batch_tokens = batch_tokens
        self.reuse = reuse
        self.depth_first = depth_first
        self.counts = Counts()
        self._roots = [Node(i) for i in range(len(self.items))]
        self._buckets: list[_Bucket] = []
        self._place: list[tuple[int, int]] = []  # of each item: its bucket, and its row there
        self._make_buckets(padding, cache_bytes)

    def _make_buckets(self, padding: float, cache_bytes: int) -> None:
        """Puts items of similar length together, the longest first; they share the memory by their tokens."""
        self._place = [(0, 0)] * len(self.items)
        for number in sorted(range(len(self.items)), key=lambda n: -len(self.items[n].tokens)):
            length = len(self.items[number].tokens)
            if not self._buckets or length < (1 - padding) * self._buckets[-1].length:
                self._buckets.append(_Bucket(length))
            bucket = self._buckets[-1]
            self._place[number] = (len(self._buckets) - 1, len(bucket.members))
            bucket.members.append(number)
        device = getattr(self.model, "device", "cpu")
        n_tokens = sum(bucket.length * len(bucket.members) for bucket in self._buckets)
        for bucket in self._buckets:
            tokens, branches = pack([self.items[i] for i in bucket.members], bucket.length)
            bucket.tokens = tokens.to(device)
            bucket.context = self.model.context(bucket.tokens, branches.to(device))
            state = self.model.embed(bucket.tokens[:1])[0]
            share = bucket.length * len(bucket.members) / n_tokens
            bucket.cache = StateCache(state.shape, state, int(share * cache_bytes))

    # -- what callers use ------------------------------------------------------------------------------------------

    def score(self, requests: Sequence[tuple[int, Path]]) -> list[Scores]:
        """Returns the scores of each (item number, path), in their order. A path may be asked for more than once."""
        results: dict[int, Scores] = {}
        groups = [[place] for place in range(len(requests))] if self.depth_first else [list(range(len(requests)))]
        for group in groups:
            self._score(requests, group, results)
        self.counts.requests += len(requests)
        self.counts.layer_steps += sum(len(path) for _, path in requests)
        return [results[place] for place in range(len(requests))]

    def _score(self, requests: Sequence[tuple[int, Path]], group: list[int], results: dict[int, Scores]) -> None:
        ends: dict[Node, list[int]] = defaultdict(list)
        needed: list[Node] = []
        for place in group:
            node, missing = self._want(*requests[place])
            ends[node].append(place)
            needed += missing

        def finish(done: list[tuple[Node, Tensor]]) -> None:
            scores = self._read([(node.item, hidden) for node, hidden in done])
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
        """Splits states into batches of one length, with at most `batch_tokens` tokens each."""
        by_bucket: dict[int, list[Node]] = defaultdict(list)
        for node in states:
            by_bucket[self._place[node.item][0]].append(node)
        batches = []
        for number, nodes in by_bucket.items():
            size = max(1, self.batch_tokens // self._buckets[number].length)
            count = -(-len(nodes) // size)
            size = -(-len(nodes) // count)  # batches of equal size
            batches += [nodes[i : i + size] for i in range(0, len(nodes), size)]
        return batches

    def _layer(self, layer: int, nodes: list[Node], inputs: list[Tensor]) -> Tensor:
        bucket = self._buckets[self._place[nodes[0].item][0]]
        context = bucket.context.rows([self._place[node.item][1] for node in nodes])
        out = self.model.layer(layer, torch.stack(inputs), context)
        self.counts.layer_calls += 1
        self.counts.layer_rows += len(nodes)
        self.counts.layer_tokens += len(nodes) * bucket.length
        return out

    def _cache(self, node: Node) -> StateCache:
        return self._buckets[self._place[node.item][0]].cache

    def _state(self, node: Node) -> Tensor:
        """Returns the state of `node`, which is there, or is the embedding."""
        if node.hidden is None:
            bucket, row = self._place[node.item]
            node.hidden = self.model.embed(self._buckets[bucket].tokens[row : row + 1])[0]
        return node.hidden

    # -- the head --------------------------------------------------------------------------------------------------

    def _read(self, states: list[tuple[int, Tensor]]) -> list[Scores]:
        """Returns the scores of final states: the head at the places where continuations are predicted, once each."""
        rows: list[Tensor] = []
        wanted: list[int] = []
        row_of: list[int] = []  # of each wanted token: all first tokens of an item's continuations have the same
        n_rows = 0
        for number, hidden in states:
            item = self.items[number]
            places = sorted(set(item.read_at))
            rows.append(hidden[places])
            row_of += [n_rows + places.index(place) for place in item.read_at]
            wanted += item.predicted
            n_rows += len(places)
        hits, log_probs = self._predict(torch.cat(rows), torch.tensor(row_of), torch.tensor(wanted))
        self.counts.head_rows += n_rows
        found, start = [], 0
        for number, _ in states:
            lengths = [len(c) for c in self.items[number].continuations]
            span = slice(start, start + sum(lengths))
            start = span.stop
            parts = zip(hits[span].split(lengths), log_probs[span].split(lengths), strict=True)
            greedy, sums = zip(*((hit.all(), logs.sum()) for hit, logs in parts), strict=True)
            found.append(Scores(torch.stack(greedy), torch.stack(sums)))
        return found

    def _predict(self, hidden: Tensor, row_of: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Returns for each wanted token whether it is the most probable one of its row, and its log-probability."""
        hits = torch.empty(len(wanted), dtype=torch.bool)
        log_probs = torch.empty(len(wanted))
        at_once, start = 64, 0  # until the size of the vocabulary is known
        while start < len(hidden):
            logits = self.model.head(hidden[start : start + at_once]).float()
            here = ((row_of >= start) & (row_of < start + len(logits))).nonzero().squeeze(1)
            row, token = (row_of[here] - start).to(logits.device), wanted[here].to(logits.device)
            hits[here] = (logits.argmax(-1)[row] == token).cpu()
            log_probs[here] = (logits[row, token] - logits.logsumexp(-1)[row]).cpu()
            start += len(logits)
            at_once = max(1, HEAD_BYTES // (4 * logits.shape[1]))
        return hits, log_probs
