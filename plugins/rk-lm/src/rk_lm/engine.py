"""Many (item, path) pairs at once.

Four ideas, each without effect on what is computed:

1. Teacher forcing: an answer is right under greedy decoding exactly when each of its tokens is the most probable one
   after the right tokens before it. One forward pass replaces the generation; there is no cache of keys and values.
   All continuations of a prompt share that pass (`rk_lm.items`).
2. Prefixes: the states after the first layers of a path are those of every path that begins so (`rk_lm.trie`).
3. Depth: all states that need layer i next run through it as one batch, whatever their item, and wherever in its path
   each of them is (`rk_lm.sweep`). Only the number of tokens must agree; it is padded, on the right.
4. The head is applied where something is predicted, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rk_lm.items import Item, Scores, pack
from rk_lm.layered import LayeredModel
from rk_lm.sweep import Counts, Group, Sweep

__all__ = ["Counts", "Engine"]

HEAD_BYTES = 128 * 2**20
"""Bytes of logits that are held at a time."""


class _Bucket:
    """Items of one padded length."""

    def __init__(self, model: LayeredModel, length: int) -> None:
        self.model = model
        self.tokens = length
        self.members: list[int] = []

    def fill(self, items: Sequence[Item], device: torch.device | str) -> None:
        """Makes the tokens, masks and positions of the members, which are all there."""
        tokens, branches = pack([items[i] for i in self.members], self.tokens)
        self._tokens = tokens.to(device)
        self._context = self.model.context(self._tokens, branches.to(device))

    def first(self, row: int) -> Tensor:
        return self.model.embed(self._tokens[row : row + 1])[0]

    def layer(self, i: int, rows: list[int], hidden: Tensor) -> Tensor:
        return self.model.layer(i, hidden, self._context.rows(rows))


class Engine(Sweep[Scores]):
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
        super().__init__(
            self._buckets(padding),
            batch_tokens=batch_tokens,
            cache_bytes=cache_bytes,
            reuse=reuse,
            depth_first=depth_first,
        )

    def _buckets(self, padding: float) -> list[Group]:
        """Puts items of similar length together, the longest first."""
        buckets: list[_Bucket] = []
        for number in sorted(range(len(self.items)), key=lambda n: -len(self.items[n].tokens)):
            length = len(self.items[number].tokens)
            if not buckets or length < (1 - padding) * buckets[-1].tokens:
                buckets.append(_Bucket(self.model, length))
            buckets[-1].members.append(number)
        device = getattr(self.model, "device", "cpu")
        for bucket in buckets:
            bucket.fill(self.items, device)
        return [*buckets]

    def read(self, states: list[tuple[int, Tensor]]) -> list[Scores]:
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
