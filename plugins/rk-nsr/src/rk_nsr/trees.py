"""Deduction and abduction: values of a tree from the bottom up, and its most probable edit that gives the answer.

arXiv:2210.01603, Sec. 3.3 and Algorithm 1 of App. A.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rk_programs.types import LIST

from rk_nsr.meanings import NOTHING, Inputs, Meanings, Value, log

Module = Literal["semantics", "perception"]
TRIES = range(101)
"""Values that are tried for a child where symbols are edited: programs say more than their examples there."""


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
        seen: Log-probability of each symbol at each node, where symbols are read from images.
    """

    symbols: list[int]
    order: Sequence[int]
    children: list[list[int]]
    parents: Sequence[int]
    values: list[Value]
    edited: int | None = None
    seen: Sequence[Sequence[float]] | None = None

    @property
    def root(self) -> int:
        return self.order[-1]

    @property
    def value(self) -> Value:
        """The value of the root: the answer."""
        return self.values[self.root]

    def speaking(self, node: int) -> list[int]:
        """Returns a node's children that do not say nothing."""
        return [child for child in self.children[node] if self.values[child] != NOTHING]

    def inputs(self, node: int) -> Inputs:
        """Returns the values of a node's children, from left to right, without those that say nothing."""
        return tuple([self.values[child] for child in self.speaking(node)])

    def others(self, node: int, child: int) -> tuple[int, Inputs]:
        """Returns the place of a child among the inputs, and the inputs at the other places."""
        rest = [other for other in self.speaking(node) if other != child]
        return sum(other < child for other in rest), tuple([self.values[other] for other in rest])

    def examples(self, meanings: Meanings) -> list[tuple[int, Inputs, Value]]:
        """Returns (symbol, inputs, output) of each node whose value and inputs are known, and as many as it takes.

        What is below an edit is left out, and below an argument that a trusted program does not use: the answer says
        nothing of it, and a wrong program would confirm itself there.
        """
        found, unused = [], set[int]()
        for node in reversed(self.order):  # heads first
            used = meanings.used(self.symbols[node])
            for place, child in enumerate(self.speaking(node)):
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


_Edit = Callable[[Tree], None]


def deduce(
    symbols: Sequence[int],
    heads: Sequence[int],
    order: Sequence[int],
    meanings: Meanings,
    draw: Callable[[], float] | None = None,
    seen: Sequence[Sequence[float]] | None = None,
) -> Tree:
    """Returns the tree with its values: v_i = f_{s_i}(values of the children of i), Sec. 3.1.

    Args:
        symbols: Symbol of each node.
        heads: Head of each node, -1 for the root.
        order: Nodes, dependents before heads.
        meanings: Programs of the symbols.
        draw: Draws remembered outputs of symbols that have no program yet; None: the likeliest.
        seen: Log-probability of each symbol at each node, where symbols are read from images.
    """
    children: list[list[int]] = [[] for _ in heads]
    for node, head in enumerate(heads):  # in order of position, so children are too
        if head >= 0:
            children[head].append(node)
    tree = Tree(list(symbols), order, children, heads, [None] * len(heads), None, seen)
    for node in order:
        tree.values[node] = meanings.call(symbols[node], tree.inputs(node), None if draw is None else draw())
    return tree


def abduce(
    tree: Tree,
    answer: Value,
    meanings: Meanings,
    choose: Callable[[int], int] = lambda count: 0,
    module: Module = "semantics",
) -> Tree | None:
    """Returns the tree with its most probable edit that gives `answer`; None where no edit does (Alg. 1).

    A tree that gives it already is returned as it is. Edits are looked for from the root down: a node itself may be
    edited, or a child may get a value that makes the node's value right. What is least trusted is edited first.

    Args:
        tree: A tree with values; it is changed.
        answer: The value that the root must have.
        meanings: Programs of the symbols.
        choose: Returns a number below its argument: which of several wanted values a node gets.
        module: What is edited: with ``semantics`` the value of one node, with ``perception`` its symbol. With integers,
            ``semantics`` tries first whether the leaves without a value say nothing.
    """
    if module == "semantics" and _silence(tree, answer, meanings):
        return tree
    trust = _trust(tree, meanings)
    queue: list[tuple[float, int, int, tuple[Value, ...], _Edit | None]] = [(0.0, 0, tree.root, (answer,), None)]
    wanted: dict[int, tuple[Value, ...]] = {}
    pushed = itertools.count(1)
    while queue:
        _, _, node, targets, edit = heapq.heappop(queue)
        if edit is not None:
            edit(tree)
            return _settled(tree, node, wanted, meanings)
        if tree.values[node] in targets:
            return _settled(tree, node, wanted, meanings)
        wanted[node] = targets
        edits = _values if module == "semantics" else _symbols
        for doubt, change in edits(tree, node, targets, meanings, choose):
            heapq.heappush(queue, (doubt, next(pushed), node, targets, change))
        for child in tree.children[node]:
            found = _wanted(tree, node, child, targets, meanings, TRIES if module == "perception" else ())
            if found:
                doubt = trust[child] - log(1 - math.exp(trust[child]))
                heapq.heappush(queue, (doubt, next(pushed), child, tuple(found), None))
    return None


def _values(
    tree: Tree, node: int, targets: Sequence[Value], meanings: Meanings, choose: Callable[[int], int]
) -> Iterator[tuple[float, _Edit]]:
    """Yields edits that set values, and how little they are to be believed."""
    meaning, inputs = meanings.of[tree.symbols[node]], tree.inputs(node)
    possible = [value for value in targets if value != NOTHING or _is_leaf(tree, node, meanings)]
    if None not in inputs and len(inputs) == len(meaning.takes) and possible:

        def gets(tree: Tree) -> None:
            tree.values[node], tree.edited = possible[choose(len(possible))], node

        yield log(meaning.likelihood) - log(1 - meaning.likelihood), gets


def _silence(tree: Tree, answer: Value, meanings: Meanings) -> bool:
    """Makes all leaves without a value say nothing if that gives the answer; returns whether it does.

    Brackets come in pairs, so one edit of one leaf never explains them.
    """
    unknown = [node for node in tree.order if tree.values[node] is None and _is_leaf(tree, node, meanings)]
    if meanings.kind == LIST.name or not unknown:
        return False
    before = list(tree.values)
    for node in tree.order:
        if node in unknown:
            tree.values[node] = NOTHING
        elif tree.values[node] is None:
            tree.values[node] = meanings.call(tree.symbols[node], tree.inputs(node))
    if tree.value != answer:
        tree.values = before
    return tree.value == answer


def _symbols(
    tree: Tree, node: int, targets: Sequence[Value], meanings: Meanings, choose: Callable[[int], int]
) -> Iterator[tuple[float, _Edit]]:
    """Yields edits that set the symbol of a node, and how little they are to be believed (Sec. 3.2)."""
    assert tree.seen is not None
    inputs, seen = tree.inputs(node), tree.seen[node]
    for symbol in range(len(meanings.of)):
        if symbol != tree.symbols[node] and meanings.call(symbol, inputs) in targets:

            def becomes(tree: Tree, symbol: int = symbol) -> None:
                tree.symbols[node] = symbol
                tree.values[node] = meanings.call(symbol, inputs)

            yield seen[tree.symbols[node]] - seen[symbol], becomes


def _wanted(
    tree: Tree, node: int, child: int, targets: Sequence[Value], meanings: Meanings, tries: Sequence[int]
) -> list[Value]:
    """Returns values of a child that make the value of `node` one of `targets`."""
    symbol, (place, others) = tree.symbols[node], tree.others(node, child)
    found = meanings.solve(symbol, place, others, targets, tries)
    if meanings.kind != LIST.name and _is_leaf(tree, child, meanings) and meanings.call(symbol, others) in targets:
        found.append(NOTHING)
    return found


def _is_leaf(tree: Tree, node: int, meanings: Meanings) -> bool:
    return not tree.children[node] and not meanings.of[tree.symbols[node]].takes


def enclosed(tree: Tree) -> list[int] | None:
    """Returns the heads of the tree with each pair of leaves that say nothing below the node that is between them.

    Such leaves change no value, so one answer has many trees, which differ in their places alone. The parser learns
    from one of these: brackets belong to what they enclose. None where one encloses nothing: such a tree gives its
    answer by chance.
    """
    heads = list(tree.parents)
    silent = {node for node in tree.order if tree.values[node] == NOTHING and not tree.children[node]}
    free = set(silent)
    first, last = list(range(len(heads))), list(range(len(heads)))
    for node in tree.order:  # from the leaves up
        if node in silent:
            continue
        for child in tree.children[node]:
            if child not in silent:
                first[node], last[node] = min(first[node], first[child]), max(last[node], last[child])
        while {first[node] - 1, last[node] + 1} <= free:
            for leaf in (first[node] - 1, last[node] + 1):
                heads[leaf] = node
                free.remove(leaf)
            first[node], last[node] = first[node] - 1, last[node] + 1
    return None if free else heads


def _trust(tree: Tree, meanings: Meanings) -> list[float]:
    """Returns the log-probability of each node: of its symbol's program and of all below it."""
    found = [0.0] * len(tree.values)
    for node in tree.order:
        below = sum(found[child] for child in tree.children[node])
        seen = 0.0 if tree.seen is None else tree.seen[node][tree.symbols[node]]
        found[node] = log(meanings.of[tree.symbols[node]].likelihood) + seen + below
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
