"""The trees of unchanged recipe files, from the index: loading a YAML reader takes longer than checking a recipe."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rk.errors import Mark, Problem
from rk.index.answers import Answers
from rk.recipe.find import RecipeFile
from rk.recipe.given import GivenRecipe
from rk.recipe.tree import Mapping, Node, Scalar, Sequence, read_tree
from rk.values import Plain

if TYPE_CHECKING:
    from rk.index.kept import Index

MAX_TREES = 200
"""Trees that are kept."""


def tree_of(recipe: RecipeFile, index: Index | None) -> tuple[Mapping, list[Problem]]:
    """Reads a recipe file as `read_tree` does, or takes from the index what was read of it before.

    A tree with a mistake is never kept. Raises what `read_tree` raises.
    """
    if isinstance(recipe, GivenRecipe):
        return recipe.tree(), []
    label = recipe.label
    if index is None:
        return read_tree(recipe.path, label)
    found: list[tuple[Mapping, list[Problem]]] = []

    def read() -> list[Plain] | None:
        found.append(read_tree(recipe.path, label))
        tree, problems = found[0]
        return None if problems else _packed(tree)

    with Answers(index, "trees", limit=MAX_TREES) as answers:
        packed = answers.answer(os.path.abspath(recipe.text), read, good=lambda tree: tree is not None)
    if found or packed is None:
        return found[0]
    tree = _unpacked(packed, label)
    if not isinstance(tree, Mapping):
        raise TypeError(f"{label}: the index has a tree that is not a mapping")
    return tree, []


def _packed(node: Node) -> list[Plain]:
    """Returns a node as plain JSON: its kind, line and column, and what it holds."""
    place = node.mark.line, node.mark.column
    if isinstance(node, Mapping):
        keys = [[key, *_place(node.mark_of(key)), _packed(child)] for key, child in node.items.items()]
        return ["m", *place, keys]
    if isinstance(node, Sequence):
        return ["l", *place, [_packed(child) for child in node.items]]
    return ["s", *place, node.value, node.raw, node.quoted]


def _place(mark: Mark) -> tuple[int, int]:
    return mark.line, mark.column


def _unpacked(packed: list[Plain], label: str) -> Node:
    kind, line, column, *held = packed
    mark = Mark(label, line, column)
    if kind == "m":
        items = {key: _unpacked(child, label) for key, _, _, child in held[0]}
        return Mapping(items, mark, {key: Mark(label, at, of) for key, at, of, _ in held[0]})
    if kind == "l":
        return Sequence([_unpacked(child, label) for child in held[0]], mark)
    return Scalar(held[0], mark, held[1], held[2])
