"""Trees from files: a user's own, written with brackets, and shapes of dependency trees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rk_sequence.corpora import Source

from rk import UserError
from rk.reading import read_text

_EWT = "https://raw.githubusercontent.com/UniversalDependencies/UD_English-EWT/15d613d"
TREEBANKS = {
    "ud-english-ewt": (
        Source(
            "ud-english-ewt/en_ewt-ud-dev.conllu",
            f"{_EWT}/en_ewt-ud-dev.conllu",
            "sha256:531a54ff90d6ab12201c5a50c3e78e6ddac4de69abc4bce5d275d3cd29efe2b6",
        ),
        Source(
            "ud-english-ewt/en_ewt-ud-test.conllu",
            f"{_EWT}/en_ewt-ud-test.conllu",
            "sha256:e266e515a0a7547657ed3d90d9ba46487d6bd251f27ad4269d4e8a427c8555cd",
        ),
    )
}
"""Published treebanks in CoNLL-U (EWT: CC BY-SA 4.0)."""
ACCEPTED = "give a text file with a tree on each line, as in ( 3 ( 1 . . ) . ), or dependency trees, .conllu"
_MARKS = ("(", ")", ".")


class Tree(NamedTuple):
    """A tree as its items in pre-order: 1 for a node, 0 for a leaf; and the label of each node, "" of a leaf."""

    items: tuple[int, ...]
    labels: tuple[str, ...]

    @property
    def nodes(self) -> int:
        """How many nodes there are."""
        return sum(self.items)


def parse_tree(words: Sequence[str], place: str) -> Tree:
    """Reads ``( label LEFT RIGHT )`` and ``.``, token by token.

    Raises:
        UserError: When the tokens are not a tree, with the place and the token.
    """
    items: list[int] = []
    labels: list[str] = []
    missing = [1]  # subtrees that are still to come, for each node that is open
    tokens = iter([*words, "the end"])

    def wrong(expected: str, word: str) -> UserError:
        return UserError(f"{place}: expected {expected}, got {word!r}".replace("'the end'", "the end"), ACCEPTED)

    for word in tokens:
        if len(missing) == 1 and not missing[0]:
            if word != "the end":
                raise wrong("the end", word)
            return Tree(tuple(items), tuple(labels))
        if word == ")" and not missing[-1]:
            missing.pop()
        elif not missing[-1]:
            raise wrong("')'", word)
        elif word == ".":
            items.append(0)
            labels.append("")
            missing[-1] -= 1
        elif word == "(":
            label = next(tokens)
            if label in (*_MARKS, "the end"):
                raise wrong("a label", label)
            items.append(1)
            labels.append(label)
            missing[-1] -= 1
            missing.append(2)
        else:
            raise wrong("'(' or '.'", word)
    raise AssertionError("the last token ends it")


def read_trees(path: Path) -> list[Tree]:
    """Returns the trees of a text file, one on each line that is not empty. Raises `rk.UserError`."""
    lines = enumerate(read_text(path, ACCEPTED).splitlines(), 1)
    found = [parse_tree(line.split(), f"{path}:{n}") for n, line in lines if line.strip()]
    if empty := [tree for tree in found if not tree.nodes]:
        raise UserError(f"{path}: {len(empty)} trees have no node", "leave them out")
    if not found:
        raise UserError(f"{path}: expected a tree on each line, got nothing", ACCEPTED)
    return found


def dependency_shapes(path: Path) -> list[tuple[int, ...]]:
    """Returns a binary shape for each sentence of a CoNLL-U file: the items of its tree in pre-order.

    A word's left subtree begins with its first dependent, its right one with the next dependent of its own head.

    Raises:
        UserError: When the file is not in CoNLL-U, or a sentence is not a tree, with the line.
    """
    return [_binary(heads, f"{path}:{line}") for line, heads in _sentences(path)]


def _sentences(path: Path) -> Iterator[tuple[int, list[int]]]:
    """Yields the first line and the heads of each sentence; 0 is the head of its root."""
    heads: list[int] = []
    first = 1
    for n, line in enumerate([*read_text(path, ACCEPTED).splitlines(), ""], 1):
        cells = line.split("\t")
        if not line.strip():
            if heads:
                yield first, heads
            heads = []
        elif line.startswith("#") or not cells[0].isdecimal():  # a comment, a range of words, or an empty node
            continue
        elif len(cells) < 8 or not cells[6].isdecimal() or int(cells[0]) != len(heads) + 1:
            raise UserError(f"{path}:{n}: expected word {len(heads) + 1} of a sentence in CoNLL-U, got {line[:40]!r}")
        else:
            first = n if not heads else first
            heads.append(int(cells[6]))


def _binary(heads: list[int], place: str) -> tuple[int, ...]:
    below: dict[int, list[int]] = {}
    for word, head in enumerate(heads, 1):
        below.setdefault(head, []).append(word)
    items: list[int] = []
    waiting: list[tuple[int, ...]] = [tuple(below.get(0, ())[:1])]  # the words that are still siblings, the next first
    while waiting:
        words = waiting.pop()
        items.append(1 if words else 0)
        if words:
            waiting += [words[1:], tuple(below.get(words[0], ()))]
    if sum(items) != len(heads):
        raise UserError(f"{place}: the sentence is not one tree: {sum(items)} of its {len(heads)} words hang together")
    return tuple(items)


def shapes_of(paths: Iterable[Path], least: int, most: int) -> list[tuple[int, ...]]:
    """Returns the shapes of the sentences of some files that have so many words. Raises `rk.UserError`."""
    names = []
    found = []
    for path in paths:
        names.append(str(path))
        found += [shape for shape in dependency_shapes(path) if least <= sum(shape) <= most]
    if not found:
        raise UserError(f"{', '.join(names)}: no sentence has {least} to {most} words", "change data.max_nodes")
    return found
