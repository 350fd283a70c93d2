"""Hidden states by the path that led to them, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor

from rk_lm.layered import Path
from rk_lm.slabs import Slabs


class Node:
    """The state of one item after one prefix of paths.

    Attributes:
        parent: The state before the last layer; None at the embedding.
        layer: That layer.
        hidden: The hidden states (time, d_model); None where they have not been computed, or have been given up.
        pinned: Whether they are kept for good.
        wanted: How many requests in progress need them.
    """

    __slots__ = ("children", "hidden", "item", "layer", "parent", "pinned", "wanted")

    def __init__(self, item: int, parent: Node | None = None, layer: int = -1) -> None:
        self.item = item
        self.parent = parent
        self.layer = layer
        self.hidden: Tensor | None = None
        self.pinned = False
        self.wanted = 0
        self.children: dict[int, Node] = {}

    def walk(self, path: Path) -> Node:
        """Returns the node at the end of `path`, making what is missing on the way."""
        node = self
        for layer in path:
            child = node.children.get(layer)
            if child is None:
                child = node.children[layer] = Node(node.item, node, layer)
            node = child
        return node

    def prune(self) -> None:
        """Removes this node, and then its ancestors, as long as nothing hangs on them."""
        node = self
        while node.parent is not None and node.hidden is None and not node.children and not node.wanted:
            if node.parent.children.get(node.layer) is not node:  # it was removed before
                return
            del node.parent.children[node.layer]
            node = node.parent


class StateCache:
    """Keeps the states of nodes up to a number of bytes; those that were used longest ago go first.

    Args:
        shape: Of one state, (time, d_model).
        like: Has their dtype and device.
        capacity: Bytes, pinned states not counted; at least one state is kept.
    """

    def __init__(self, shape: torch.Size, like: Tensor, capacity: int) -> None:
        size = max(1, shape.numel() * like.element_size())
        self._slabs = Slabs(shape, like, limit=max(1, capacity // size))
        self._pinned = Slabs(shape, like)
        self._kept: OrderedDict[Node, int] = OrderedDict()  # the one that was used longest ago first; its slot

    def put(self, node: Node, hidden: Tensor) -> None:
        """Gives `node` a copy of its state, which stays as long as `node.hidden` does."""
        if node.pinned:
            _, slot = self._pinned.take()
        else:
            if self._slabs.full:
                self._drop(next(iter(self._kept)))
            self._kept[node], slot = self._slabs.take()
        node.hidden = slot
        slot.copy_(hidden)

    def use(self, node: Node) -> Tensor:
        """Returns the state of `node`, which is there, and which stays what it is whatever is put after it."""
        if node.hidden is None:
            raise KeyError(node)
        if node not in self._kept:
            return node.hidden
        self._kept.move_to_end(node)
        return node.hidden.clone()  # its slot may be needed before the caller is done

    @property
    def bytes(self) -> int:
        """The size of the kept states, without pinned ones."""
        return len(self._kept) * self._slabs.slot_bytes

    def _drop(self, node: Node) -> None:
        self._slabs.give_back(self._kept.pop(node))
        node.hidden = None
        node.prune()

    def __len__(self) -> int:
        return len(self._kept)
