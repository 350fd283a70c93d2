"""A user's own graph of texts: a JSON file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rk import UserError
from rk.reading import read_json

ACCEPTED = (
    'a JSON object: {"texts": [TEXT, ...], "edges": [[0, 1], ...], "classes": [NAME, ...]}, the first text asked about'
)


@dataclass(frozen=True)
class OwnGraph:
    """A graph of a user's file.

    Attributes:
        texts: The texts of its nodes; the first one is asked about.
        edges: Pairs of nodes.
        classes: The names among which the first node's class is chosen; empty for those of the training.
    """

    texts: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    classes: tuple[str, ...]


def read_own_graph(path: Path) -> OwnGraph:
    """Returns the graph in a JSON file.

    Raises:
        UserError: When the file has another form; it names the key.
    """
    found = read_json(path, ACCEPTED)
    if not isinstance(found, dict):
        raise UserError(f"{path}: must be an object, got {type(found).__name__}", ACCEPTED)
    if unknown := found.keys() - {"texts", "edges", "classes"}:
        raise UserError(f"{path}: there is no key {min(unknown)!r}", ACCEPTED)
    texts = _texts(path, "texts", found.get("texts"))
    if not texts or not texts[0].strip():
        raise UserError(f"{path}: texts: must begin with the text of the node that is asked about", ACCEPTED)
    classes = _texts(path, "classes", found.get("classes", []))
    if len(set(classes)) != len(classes) or len(classes) == 1 or not all(name.strip() for name in classes):
        raise UserError(f"{path}: classes: must be at least two different names", ACCEPTED)
    edges = found.get("edges", [])
    if not isinstance(edges, list):
        raise UserError(f"{path}: edges: must be a list of pairs", ACCEPTED)
    return OwnGraph(texts, tuple(_edge(path, i, pair, len(texts)) for i, pair in enumerate(edges)), classes)


def _texts(path: Path, key: str, found: Any) -> tuple[str, ...]:
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise UserError(f"{path}: {key}: must be a list of texts", ACCEPTED)
    return tuple(found)


def _edge(path: Path, number: int, pair: Any, count: int) -> tuple[int, int]:
    valid = isinstance(pair, list) and len(pair) == 2 and all(type(end) is int and 0 <= end < count for end in pair)
    if not valid:
        raise UserError(
            f"{path}: edges[{number}]: must be two nodes, from 0 to {count - 1}, got {str(pair)[:60]}", ACCEPTED
        )
    return pair[0], pair[1]
