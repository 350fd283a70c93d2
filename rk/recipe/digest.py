"""A summary of a recipe: its heading, its paper, its task and the components that it names."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rk.errors import Problem, RecipeError, UserError
from rk.index.answers import Answers
from rk.plugins import Plugins
from rk.reads import note
from rk.recipe.find import RecipeFile, heading
from rk.recipe.world import world_of
from rk.record import record
from rk.values import PlainDict

if TYPE_CHECKING:  # what reads a recipe is imported when one has to be read: the index answers for the others
    from rk.catalog import Catalog
    from rk.recipe.tree import Node

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

    def plain(self) -> PlainDict:
        """Returns all of it as plain values."""
        return {
            "name": self.file.name,
            "about": self.about,
            "paper": self.paper,
            "task": self.task,
            "components": sorted(self.parts),
            "distribution": self.file.distribution,
            "path": self.file.text,
        }


def digests(plugins: Plugins, files: Sequence[RecipeFile], catalog: Catalog | None = None) -> list[Digest]:
    """Returns the digests of all recipes that plugins ship, as `digest` reads them.

    The index answers for those that are unchanged.
    """
    alive = {key for file in files for key in (file.text, f"{DEEP}{file.text}")}
    found = []
    with Answers(plugins.index, "recipes", world=lambda: world_of(plugins), alive=alive) as answers:
        for file in files:
            key = file.text if catalog is None else f"{DEEP}{file.text}"
            read = functools.partial(_as_kept, file, plugins, catalog)
            kept = answers.answer(key, read, good=lambda kept: bool(kept[-1]))
            about, paper, task, parts, _ = kept
            found.append(Digest(file, about, paper, task, frozenset(parts)))
    return found


DEEP = "components of "
"""Begins the key of a digest that knows the components inside of components."""


def _as_kept(file: RecipeFile, plugins: Plugins, catalog: Catalog | None) -> list[Any]:
    """Returns a digest as the index keeps it, and whether it may: the message for a mistake depends on the folder."""
    found, is_whole = _read(file, plugins, catalog)
    return [found.about, found.paper, found.task, sorted(found.parts), is_whole]


def kept_headings(plugins: Plugins, files: Sequence[RecipeFile]) -> dict[str, str]:
    """Returns path -> heading for those recipes that the index knows."""
    with Answers(plugins.index, "recipes", world=lambda: world_of(plugins)) as answers:
        known = ((file.text, answers.get(file.text)) for file in files)
        return {path: kept[0] for path, kept in known if isinstance(kept, list)}


def digest(file: RecipeFile, plugins: Plugins, catalog: Catalog | None = None) -> Digest:
    """Reads `file` with what it extends; of a broken one, only the heading is known, or why it cannot be read.

    Args:
        file: The recipe.
        plugins: Whose recipes it may extend.
        catalog: With it, a bare name inside a component (``layer: elman``) is known to be a component, too. That reads
            the sources of the components.
    """
    return _read(file, plugins, catalog)[0]


def _read(file: RecipeFile, plugins: Plugins, catalog: Catalog | None) -> tuple[Digest, bool]:
    """Returns the digest, and whether nothing is wrong with the recipe."""
    from rk.kinds import COMPONENT_KEYS, PLURAL_KEYS
    from rk.recipe.compose import compose
    from rk.recipe.tree import Scalar

    note(installed=catalog is not None)
    about = heading(file.path)
    try:
        tree, problems = compose(file, (), plugins)
    except RecipeError as error:
        return Digest(file, about or _complaint(error.problems), None, None, frozenset()), False
    kinds = {**COMPONENT_KEYS, **PLURAL_KEYS}
    names = _Names(catalog, file.plugin)
    task = next(names.below(tree.items.get("data"), "data"), None)
    paper = tree.items.get("paper")
    found = Digest(
        file,
        about or _complaint(problems),
        paper.value if isinstance(paper, Scalar) and isinstance(paper.value, str) else None,
        task,
        frozenset(f"{key}: {name}" for key, kind in kinds.items() for name in names.below(tree.items.get(key), kind)),
    )
    return found, not problems


class _Names:
    """Finds the names of components in a recipe."""

    def __init__(self, catalog: Catalog | None, plugin: str | None) -> None:
        self._catalog = catalog
        self._plugin = plugin

    def below(self, node: Node | None, kind: str | None = None) -> Iterator[str]:
        """Yields the names of components at and below `node`, its own first.

        Args:
            node: A part of the recipe.
            kind: The kind of component that it stands for; None where that is not known.
        """
        from rk.recipe.tree import Mapping, Scalar
        from rk.recipe.tree import Sequence as List

        if isinstance(node, Mapping):
            name = node.items.get("name")
            own = name.value if isinstance(name, Scalar) and isinstance(name.value, str) else None
            if own is not None:
                yield own
            params = self._component_params(kind, own)
            for key, child in node.items.items():
                if key != "name":
                    # a mapping of metrics has one in each value; so may a list of callbacks
                    yield from self.below(child, params.get(key) if own is not None else kind)
        elif isinstance(node, List):
            for child in node.items:
                yield from self.below(child, kind)
        elif kind is not None and isinstance(node, Scalar) and isinstance(node.value, str):
            yield node.value

    def _component_params(self, kind: str | None, name: str | None) -> dict[str, str]:
        """Returns parameter -> kind of the component that it takes."""
        if self._catalog is None or kind is None or name is None:
            return {}
        from rk.static.types import component_in

        try:
            component = self._catalog.resolve(kind, name, self._plugin)
            params = self._catalog.signature(component).params
        except UserError:
            return {}
        return {p.name: found.kind for p in params if (found := component_in(p.type)) is not None}


def _complaint(problems: list[Problem]) -> str:
    return f"cannot be read: {problems[0].mark}: {problems[0].message}" if problems else ""
