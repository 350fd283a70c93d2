"""Binary trees, many at once: their texts, their traversals, and the states of the reduction.

A tree is its items in pre-order, nodes and leaves: 1 for a node, 0 for a leaf, -1 for padding. All else follows from
where subtrees end, without a loop over items or trees.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

# b trees, i items (2 n + 1 of n nodes), q items as ancestors

Order = Literal["pre", "in", "post"]
LEAF, OPEN, CLOSE, CALL, LABEL = 0, 1, 2, 3, 4
"""Tokens; label k is `LABEL` + k."""
WORDS = [".", "(", ")", "UNROLL"]
_NEVER = 1 << 40


class Forest:
    """Binary trees with labels.

    Args:
        items: 1 for a node, 0 for a leaf, -1 for padding, in pre-order.
        labels: The label of each node, from 0; any number elsewhere.
    """

    def __init__(self, items: Int[Tensor, "b i"], labels: Int[Tensor, "b i"]) -> None:
        self.items = items
        self.labels = labels
        self.place = torch.arange(items.shape[1])

    @cached_property
    def is_node(self) -> Bool[Tensor, "b i"]:
        """Which items are nodes."""
        return self.items == 1

    @cached_property
    def there(self) -> Bool[Tensor, "b i"]:
        """Which items exist."""
        return self.items >= 0

    @cached_property
    def nodes(self) -> Int[Tensor, "b"]:
        """The nodes of each tree."""
        return self.is_node.sum(1)

    @cached_property
    def ends(self) -> Int[Tensor, "b i"]:
        """The last item of the subtree of each item: where one more leaf than nodes has been read since."""
        step = torch.where(self.is_node, 1, -1) * self.there
        total = step.cumsum(1)
        closed = (total.unsqueeze(1) == (total - step).unsqueeze(2) - 1) & (self.place >= self.place.unsqueeze(1))
        return closed.int().argmax(2)

    @cached_property
    def _ancestor(self) -> Bool[Tensor, "b q i"]:
        """Whether item q is a node above item i."""
        behind = self.place > self.place.unsqueeze(1)
        inside = self.place <= self.ends.unsqueeze(2)
        return self.is_node.unsqueeze(2) & behind & inside & self.there.unsqueeze(1)

    @cached_property
    def levels(self) -> Int[Tensor, "b i"]:
        """The nodes above each item."""
        return self._ancestor.sum(1)

    @cached_property
    def heights(self) -> Int[Tensor, "b"]:
        """The nodes on the longest path of each tree."""
        return ((self.levels + 1) * self.is_node).amax(1)

    @cached_property
    def _left_sizes(self) -> Int[Tensor, "b i"]:
        """The items of the left subtree of each node; 0 for a leaf."""
        following = self.ends.roll(-1, 1)
        return (following - self.place) * self.is_node

    def ranks(self, order: Order) -> Int[Tensor, "b i"]:
        """Returns the place of each item, nodes and leaves, in a traversal.

        The items before one in in-order are those before it in pre-order, less the nodes in whose left subtree it is,
        and those of its own left subtree. In post-order, they are those before the end of its subtree, less the nodes
        above.
        """
        if order == "pre":
            return self.place.expand_as(self.items)
        if order == "post":
            return self.ends - self.levels
        on_the_left = self._ancestor & (self.place <= self.ends.roll(-1, 1).unsqueeze(2))
        return self.place + self._left_sizes - on_the_left.sum(1)

    def first_ranks(self, order: Order) -> Int[Tensor, "b i"]:
        """Returns the lowest rank in the subtree of each item."""
        if order == "pre":
            return self.ranks(order)
        if order == "in":
            return self.ranks(order) - self._left_sizes
        return self.ranks(order) - (self.ends - self.place)

    @cached_property
    def _text_places(self) -> tuple[Int[Tensor, "b i"], Int[Tensor, "b i"]]:
        """Where each item begins in the text of its tree, and where each node is closed."""
        nodes_before = self.is_node.cumsum(1) - self.is_node.long()
        ended = self.is_node.unsqueeze(2) & (self.ends.unsqueeze(2) < self.place)
        start = self.place + nodes_before + ended.sum(1)
        same_end = self.is_node.unsqueeze(1) & (self.ends.unsqueeze(2) == self.ends.unsqueeze(1))
        inner = same_end & (self.place > self.place.unsqueeze(1))
        return start, start.gather(1, self.ends) + 1 + inner.sum(2)

    def texts(self) -> tuple[Int[Tensor, "b t"], Int[Tensor, "b"]]:
        """Returns the tokens of the trees, ``( label LEFT RIGHT )`` and ``.``, padded with 0, and their numbers."""
        start, close = self._text_places
        counts = 4 * self.nodes + 1
        most = int(counts.max())
        tokens = torch.full((len(start), most + 1), LEAF)  # leaves are there already; the last column is for no item
        for token, place in (
            (torch.full_like(start, OPEN), start),
            (LABEL + self.labels, start + 1),
            (torch.full_like(start, CLOSE), close),
        ):
            tokens.scatter_(1, torch.where(self.is_node, place, most), token)
        return tokens[:, :most], counts

    def states(self, steps: Int[Tensor, "b"], order: Order) -> tuple[Int[Tensor, "b t"], Int[Tensor, "b"]]:
        """Returns the states of the reduction after so many steps.

        Each step unfolds the leftmost call, and calls are in pre-order in any traversal: after k steps the first k
        items are unfolded. A node among them is its label. Of the others, each whose ancestors are all unfolded is a
        call, `CALL` and its text.

        Args:
            steps: Steps of each tree; one of n nodes is done after 2 n + 1.
            order: Of the traversal.

        Returns:
            Tokens, padded with 0, and their numbers.
        """
        done = self.place < steps.unsqueeze(1)
        pending = self.there & ~done & ((self._ancestor & done.unsqueeze(2)).sum(1) == self.levels)
        root = self._call_of(done)
        width = 2 * self.ends.shape[1] * 2 + 4
        start, close = self._text_places
        base = self.first_ranks(order).gather(1, root) * width + 1 - start.gather(1, root)
        waits = self.there & ~done
        slots = [
            (torch.where(self.is_node, OPEN, LEAF), base + start, waits),
            (LABEL + self.labels, torch.where(done, self.ranks(order) * width, base + start + 1), self.is_node),
            (torch.full_like(root, CLOSE), base + close, waits & self.is_node),
            (torch.full_like(root, CALL), self.first_ranks(order) * width, pending),
        ]
        tokens = torch.cat([token for token, _, _ in slots], 1)
        keys = torch.cat([torch.where(there, key, _NEVER) for _, key, there in slots], 1)
        keys, chosen = keys.sort(1)
        counts = (keys < _NEVER).sum(1)
        most = int(counts.max())
        return (tokens.gather(1, chosen) * (keys < _NEVER))[:, :most], counts

    def _call_of(self, done: Bool[Tensor, "b i"]) -> Int[Tensor, "b i"]:
        """Returns the item of the call that each item is in: its topmost ancestor, or itself, that is not done."""
        itself = torch.eye(len(self.place), dtype=torch.bool)
        above = (self._ancestor | itself) & ~done.unsqueeze(2)
        return above.int().argmax(1)

    def traversals(self, order: Order) -> tuple[Int[Tensor, "b n"], Int[Tensor, "b"]]:
        """Returns the labels of the nodes in a traversal, padded with 0, and their numbers."""
        ranks = self.ranks(order).masked_fill(~self.is_node, _NEVER)
        most = int(self.nodes.max())
        labels = self.labels.gather(1, ranks.argsort(1)[:, :most])
        return labels * (torch.arange(most) < self.nodes.unsqueeze(1)), self.nodes

    def rows(self, chosen: Tensor) -> Forest:
        """Returns some of the trees: by their numbers, or where a mask is True."""
        return Forest(self.items[chosen], self.labels[chosen])
