"""What a recipe is about, at a glance: its heading, its paper, its task and the components that it names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from rk.errors import RecipeError
from rk.plugins import Plugins
from rk.recipe.compose import compose
from rk.recipe.find import RecipeFile, heading
from rk.recipe.sections import COMPONENT_KEYS
from rk.recipe.tree import Mapping, Node, Scalar, Sequence
from rk.record import record

_ARXIV = re.compile(r"\d{4}\.\d{4,5}")


@record
class Digest:
    """A recipe as a listing shows it.

    Attributes:
        task: The name of its data.
        parts: ``key: name`` of all its components, those inside others too; names as it writes them.
    """

    file: RecipeFile
    about: str
    paper: str | None
    task: str | None
    parts: frozenset[str]

    @property
    def names(self) -> set[str]:
        """The short names of all its components."""
        return {part.rpartition(" ")[2].rpartition("/")[2] for part in self.parts}

    def is_of(self, paper: str) -> bool:
        """Whether this is a recipe of `paper`: an arXiv number in any form (with version, as a URL), or words."""
        if self.paper is None:
            return False
        wanted, own = _ARXIV.search(paper), _ARXIV.search(self.paper)
        if wanted is not None:
            return own is not None and own.group() == wanted.group()
        return paper.lower() in self.paper.lower()

    def plain(self) -> dict[str, Any]:
        """Returns all of it as plain values."""
        return {
            "name": self.file.name,
            "about": self.about,
            "paper": self.paper,
            "task": self.task,
            "components": sorted(self.parts),
            "distribution": self.file.distribution,
            "path": str(self.file.path),
        }


def digest(file: RecipeFile, plugins: Plugins) -> Digest:
    """Reads `file` with what it extends; of a broken one, only the heading is known."""
    try:
        tree, _ = compose(file, (), plugins)
    except RecipeError:
        return Digest(file, heading(file.path), None, None, frozenset())
    keys = (*COMPONENT_KEYS, "callbacks", "metrics")
    task = next(_names(tree.items.get("data"), True), None)
    paper = tree.items.get("paper")
    return Digest(
        file,
        heading(file.path),
        paper.value if isinstance(paper, Scalar) and isinstance(paper.value, str) else None,
        task,
        frozenset(f"{key}: {name}" for key in keys for name in _names(tree.items.get(key), True)),
    )


def _names(node: Node | None, component: bool = False) -> Iterator[str]:
    """Yields the names of components below `node`; where it stands for one itself, its own comes first."""
    if isinstance(node, Mapping):
        name = node.items.get("name")
        if isinstance(name, Scalar) and isinstance(name.value, str):
            yield name.value
        for key, child in node.items.items():
            if key != "name":
                yield from _names(child)
    elif isinstance(node, Sequence):
        for child in node.items:
            yield from _names(child, component)
    elif component and isinstance(node, Scalar) and isinstance(node.value, str):
        yield node.value
