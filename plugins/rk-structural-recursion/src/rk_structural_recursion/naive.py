"""The recursive functions and their reduction in plain Python, as the paper writes them: for tests and readers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

Order = Literal["pre", "in", "post"]


def term(n: int) -> list[str]:
    """Returns the constructors of a positive number, outermost first: ``01`` is 1, ``X0 n`` 2n, ``X1 n`` 2n + 1."""
    return ["01"] if n == 1 else [f"X{n % 2}", *term(n // 2)]


def successor(n: list[str]) -> list[str]:
    """Returns s(n): s(01) = X0 01, s(X0 n) = X1 n, s(X1 n) = X0 s(n)."""
    if n == ["01"]:
        return ["X0", "01"]
    return ["X1", *n[1:]] if n[0] == "X0" else ["X0", *successor(n[1:])]


def recursion_depth(n: list[str]) -> int:
    """Returns how many calls of s the successor takes."""
    return 1 + recursion_depth(n[1:]) if n[0] == "X1" else 1


class Node(NamedTuple):
    """A node of a binary tree; None is a leaf."""

    label: str
    left: Node | None
    right: Node | None


Tree = Node | None


def serialised(tree: Tree) -> list[str]:
    """Returns the tokens of a tree: ``.`` is a leaf, ``( label LEFT RIGHT )`` a node."""
    return ["."] if tree is None else ["(", tree.label, *serialised(tree.left), *serialised(tree.right), ")"]


def height(tree: Tree) -> int:
    """Returns the nodes on the longest path from the root."""
    return 0 if tree is None else 1 + max(height(tree.left), height(tree.right))


def traversal(tree: Tree, order: Order) -> list[str]:
    """Returns the labels in pre-order, in-order or post-order."""
    if tree is None:
        return []
    left, right = traversal(tree.left, order), traversal(tree.right, order)
    return {"pre": [tree.label, *left, *right], "in": [*left, tree.label, *right], "post": [*left, *right, tree.label]}[
        order
    ]


class Call(NamedTuple):
    """A recursive call that is still to be unfolded."""

    tree: Tree


def reduced(tree: Tree, order: Order) -> Iterator[list[str | Call]]:
    """Yields the states of the reduction: at each step the leftmost call is unfolded, until none is left."""
    state: list[str | Call] = [Call(tree)]
    yield state
    while any(isinstance(item, Call) for item in state):
        place, call = next((i, item) for i, item in enumerate(state) if isinstance(item, Call))
        state = [*state[:place], *unfolded(call.tree, order), *state[place + 1 :]]
        yield state


def unfolded(tree: Tree, order: Order) -> list[str | Call]:
    """Returns what one call becomes: nothing at a leaf, else the label and two calls, in the order of the traversal."""
    if tree is None:
        return []
    left, right = Call(tree.left), Call(tree.right)
    states: dict[Order, list[str | Call]] = {
        "pre": [tree.label, left, right],
        "in": [left, tree.label, right],
        "post": [left, right, tree.label],
    }
    return states[order]


def state_words(state: list[str | Call]) -> list[str]:
    """Returns the tokens of a state: a call is ``UNROLL`` and its tree."""
    return [
        word for item in state for word in (["UNROLL", *serialised(item.tree)] if isinstance(item, Call) else [item])
    ]


def machine(n: list[str]) -> list[str]:
    """Returns the successor by the abstract state machine: one pass with a mode, carry or copy."""
    mode, written = "carry", []
    for read in n:
        if mode == "copy":
            written.append(read)
        elif read == "X1":
            written.append("X0")
        elif read == "X0":
            written.append("X1")
            mode = "copy"
        else:
            written += ["X0", "01"]
    return written
