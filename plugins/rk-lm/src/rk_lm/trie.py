"""Hidden states by the path that led to them, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor

from rk_lm.layered import Path


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
        capacity: Bytes, pinned states not counted.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.bytes = 0
        self.pinned_bytes = 0
        self._kept: OrderedDict[int, Node] = OrderedDict()

    def put(self, node: Node) -> None:
        """Counts the state that `node` has got."""
        size = node.hidden.numel() * node.hidden.element_size()
        if node.pinned:
            self.pinned_bytes += size
            return
        self._kept[id(node)] = node
        self.bytes += size
        while self.bytes > self.capacity and len(self._kept) > 1:
            self._drop(next(iter(self._kept.values())))

    def use(self, node: Node) -> None:
        """Notes that the state of `node` was of use."""
        if id(node) in self._kept:
            self._kept.move_to_end(id(node))

    def _drop(self, node: Node) -> None:
        del self._kept[id(node)]
        self.bytes -= node.hidden.numel() * node.hidden.element_size()
        node.hidden = None
        node.prune()

    def __len__(self) -> int:
        return len(self._kept)
