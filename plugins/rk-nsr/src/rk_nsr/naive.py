"""The parser and the abduction again, one sentence at a time and by trying everything: what tests compare with."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from rk_nsr.meanings import Meanings, Value
from rk_nsr.parser import LEFT, RIGHT, SHIFT, TransitionNet
from rk_nsr.trees import deduce


def parse_one(net: TransitionNet, words: Sequence[int], arities: Sequence[int] | None) -> list[int]:
    """Returns the heads of the likeliest tree of one sentence, by lists of arcs (arXiv:2210.01603, Sec. 3.2)."""
    nothing = net.embedding.num_embeddings - 1
    stack: list[int] = []
    buffer = list(range(len(words)))
    heads = [-1] * len(words)
    while buffer or len(stack) > 1:
        scores = net(torch.tensor([_features(words, stack, buffer, heads, nothing)]))[0].tolist()
        legal = _legal(words, stack, buffer, heads, arities)
        chosen = max(legal, key=lambda transition: scores[transition])
        if chosen == SHIFT:
            stack.append(buffer.pop(0))
        elif chosen == LEFT:
            heads[stack[-2]] = stack[-1]
            del stack[-2]
        else:
            heads[stack[-1]] = stack[-2]
            del stack[-1]
    return heads


def _legal(
    words: Sequence[int],
    stack: Sequence[int],
    buffer: Sequence[int],
    heads: Sequence[int],
    arities: Sequence[int] | None,
) -> list[int]:
    legal = [LEFT, RIGHT] if len(stack) >= 2 else []
    shift = bool(buffer)
    if arities is not None and stack and shift:
        missing = arities[words[stack[-1]]] - heads.count(stack[-1])
        if missing == 0 and len(buffer) - sum(arities[words[i]] for i in buffer) > 0:
            shift = False
    return [*legal, SHIFT] if shift or not legal else legal


def _features(
    words: Sequence[int], stack: Sequence[int], buffer: Sequence[int], heads: Sequence[int], nothing: int
) -> list[int]:
    def children(node: int | None, left: bool) -> list[int | None]:
        """Returns the children on one side, the outermost first, and two empty places."""
        if node is None:
            return [None, None]
        found = [i for i, head in enumerate(heads) if head == node and (i < node) == left]
        return [*(found if left else found[::-1]), None, None]

    def at(places: Sequence[int], index: int) -> int | None:
        return places[index] if -len(places) <= index < len(places) else None

    nodes = [at(stack, -3), at(stack, -2), at(stack, -1), *(at(buffer, i) for i in range(3))]
    for head in (at(stack, -1), at(stack, -2)):
        left, right = children(head, True), children(head, False)
        nodes += [left[0], right[0], left[1], right[1], children(left[0], True)[0], children(right[0], False)[0]]
    return [nothing if node is None else words[node] for node in nodes]


def edits(
    symbols: Sequence[int], heads: Sequence[int], order: Sequence[int], answer: Value, meanings: Meanings
) -> set[tuple[int, Value]]:
    """Returns every way to make the root `answer` by the value of one node: (node, value), for all values ever seen.

    A node can be edited whose inputs are known and as many as it takes. Values above it are computed again.
    """
    tree = deduce(symbols, heads, order, meanings)
    values = {(), answer}
    for meaning in meanings.of:
        for inputs, outputs in meaning.examples.items():
            values |= {*inputs, *outputs}
    found = set()
    for node in order:
        inputs = tree.inputs(node)
        if None in inputs or len(inputs) != len(meanings.of[symbols[node]].takes):
            continue
        for value in values:
            changed = list(tree.values)
            changed[node] = value
            above = node
            while heads[above] >= 0:
                above = heads[above]
                children = [i for i, head in enumerate(heads) if head == above]
                changed[above] = meanings.call(symbols[above], tuple(changed[i] for i in children))
            if changed[tree.root] == answer:
                found.add((node, value))
    return found
