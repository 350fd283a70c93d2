"""Deduction and abduction: values of a tree from the bottom up, and its most probable edit that gives the answer.

arXiv:2210.01603, Sec. 3.3 and Algorithm 1 of App. A.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rk_nsr.meanings import Inputs, Meanings, Value, log


@dataclass
class Tree:
    """A grounded symbol system: symbols, heads and values (Sec. 3.1).

    Attributes:
        symbols: Symbol of each node.
        order: Nodes, dependents before heads; the root is the last.
        children: Children of each node, from left to right.
        parents: Head of each node, -1 for the root.
        values: Value of each node; None where it is not known.
        edited: The node whose value abduction has set; None for none.
    """

    symbols: Sequence[int]
    order: Sequence[int]
    children: list[list[int]]
    parents: Sequence[int]
    values: list[Value]
    edited: int | None = None

    @property
    def root(self) -> int:
        return self.order[-1]

    @property
    def value(self) -> Value:
        """The value of the root: the answer."""
        return self.values[self.root]

    def inputs(self, node: int) -> Inputs:
        """Returns the values of a node's children, from left to right."""
        return tuple([self.values[child] for child in self.children[node]])

    def examples(self, meanings: Meanings) -> list[tuple[int, Inputs, Value]]:
        """Returns (symbol, inputs, output) of each node whose value and inputs are known, and as many as it takes.

        What is below an edit is left out, and below an argument that a trusted program does not use: the answer says
        nothing of it, and a wrong program would confirm itself there.
        """
        found, unused = [], set[int]()
        for node in reversed(self.order):  # heads first
            used = meanings.used(self.symbols[node])
            for place, child in enumerate(self.children[node]):
                if node in unused or node == self.edited or (used is not None and place not in used):
                    unused.add(child)
        for node in self.order:
            if node in unused:
                continue
            inputs, value = self.inputs(node), self.values[node]
            fits = len(inputs) == len(meanings.of[self.symbols[node]].takes)
            if fits and value is not None and None not in inputs:
                found.append((self.symbols[node], inputs, value))
        return found


def deduce(
    symbols: Sequence[int],
    heads: Sequence[int],
    order: Sequence[int],
    meanings: Meanings,
    draw: Callable[[], float] | None = None,
) -> Tree:
    """Returns the tree with its values: v_i = f_{s_i}(values of the children of i), Sec. 3.1.

    Args:
        symbols: Symbol of each node.
        heads: Head of each node, -1 for the root.
        order: Nodes, dependents before heads.
        meanings: Programs of the symbols.
        draw: Draws remembered outputs of symbols that have no program yet; None: the likeliest.
    """
    children: list[list[int]] = [[] for _ in heads]
    for node, head in enumerate(heads):  # in order of position, so children are too
        if head >= 0:
            children[head].append(node)
    tree = Tree(symbols, order, children, heads, [None] * len(heads))
    for node in order:
        tree.values[node] = meanings.call(symbols[node], tree.inputs(node), None if draw is None else draw())
    return tree


def abduce(
    tree: Tree, answer: Value, meanings: Meanings, choose: Callable[[int], int] = lambda count: 0
) -> Tree | None:
    """Returns the tree with its most probable edit that gives `answer`; None where no edit does (Alg. 1).

    A tree that gives it already is returned as it is. Edits set the value of one node. They are looked for from the
    root down: a node whose inputs are known may simply get a value that is wanted, or a child may get one that makes
    the node's value right. What is least trusted is edited first.

    Args:
        tree: A tree with values; it is changed.
        answer: The value that the root must have.
        meanings: Programs of the symbols.
        choose: Returns a number below its argument: which of several wanted values a node gets.
    """
    trust = _trust(tree, meanings)
    queue: list[tuple[float, int, int, tuple[Value, ...], bool]] = [(0.0, 0, tree.root, (answer,), False)]
    pushed = 0
    wanted: dict[int, tuple[Value, ...]] = {}
    while queue:
        _, _, node, targets, edit = heapq.heappop(queue)
        if edit or tree.values[node] in targets:
            if edit:
                tree.values[node], tree.edited = targets[choose(len(targets))], node
            return _settled(tree, node, wanted, meanings)
        wanted[node] = targets
        inputs, symbol = tree.inputs(node), tree.symbols[node]
        if None not in inputs and len(inputs) == len(meanings.of[symbol].takes):
            pushed += 1
            doubt = log(meanings.of[symbol].likelihood) - log(1 - meanings.of[symbol].likelihood)
            heapq.heappush(queue, (doubt, pushed, node, targets, True))
        for place, child in enumerate(tree.children[node]):
            found = meanings.solve(symbol, place, inputs, targets)
            if found:
                pushed += 1
                doubt = trust[child] - log(1 - math.exp(trust[child]))
                heapq.heappush(queue, (doubt, pushed, child, tuple(found), False))
    return None


def _trust(tree: Tree, meanings: Meanings) -> list[float]:
    """Returns the log-probability of each node: of its symbol's program and of all below it."""
    found = [0.0] * len(tree.values)
    for node in tree.order:
        below = sum(found[child] for child in tree.children[node])
        found[node] = log(meanings.of[tree.symbols[node]].likelihood) + below
    return found


def _settled(tree: Tree, node: int, wanted: dict[int, tuple[Value, ...]], meanings: Meanings) -> Tree | None:
    """Returns the tree with the values above `node` made again; None where the root then misses its target."""
    while node != tree.root:
        node = tree.parents[node]
        symbol, inputs, targets = tree.symbols[node], tree.inputs(node), wanted[node]
        value = meanings.call(symbol, inputs)
        if value not in targets:  # the remembered example that the child's target came from
            outputs = meanings.of[symbol].examples.get(inputs, {})
            value = next((output for output in outputs if output in targets), None)
        if value is None:
            return None
        tree.values[node] = value
    return tree
