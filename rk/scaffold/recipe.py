"""A recipe for a user's own file, as installed data proposes it: what `rk recipes init` writes."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rk.catalog import Catalog, Unresolved
from rk.drafting import Draft
from rk.errors import UserError, suggest
from rk.plugins import Component
from rk.recipe import check_recipe
from rk.recipe.components import class_literal
from rk.recipe.dump import comment, dump
from rk.recipe.find import RecipeFile
from rk.record import record
from rk.values import PlainDict

if TYPE_CHECKING:
    from rk.errors import Problem

FOLDER = "/"
"""What data that takes folders names among its ``drafts``."""


@record
class Proposal:
    """A recipe for a file.

    Attributes:
        path: The file or folder.
        data: The data that reads it.
        draft: What that data proposes.
        choice: The one of its choices that was taken, or a model.
        others: Other data that would read it, the surest first.
    """

    path: Path
    data: Component
    draft: Draft
    choice: str
    others: tuple[str, ...]
    values: PlainDict

    def text(self, target: Path) -> str:
        """Returns the recipe as YAML, with what was guessed as comments.

        Args:
            target: The file that it will be written to.
        """
        recipe = shlex.quote(str(target))
        head = comment(f"{self.draft.about[:1].upper()}{self.draft.about[1:]}: written by rk recipes init.")
        head += f"# Train it: rk train {recipe}; then answer new data: rk predict last FILE.\n"
        if others := [name for name in self.draft.choices if name != self.choice]:
            head += comment(f"Instead of {self.choice}, rk recipes init --model also takes {', '.join(others)}.")
        head += "".join(comment(f"Note: {note}.") for note in self.draft.notes)
        return f"{head}\n{dump(self.values, self.draft.comments)}"

    def problems(self, catalog: Catalog, target: Path) -> list[Problem]:
        """Returns what does not fit, as `rk validate` would report it of the recipe written to `target`."""
        with tempfile.TemporaryDirectory(prefix="rk-") as scratch:
            path = Path(scratch, target.name)
            path.write_text(self.text(target), encoding="utf-8")
            return check_recipe(RecipeFile(path), (), catalog).problems


def propose(
    path: Path, catalog: Catalog, *, target: str | None = None, data: str | None = None, model: str | None = None
) -> Proposal:
    """Returns the recipe that installed data proposes for a file or folder.

    Args:
        path: The user's file or folder.
        catalog: The installed components.
        target: What is to be predicted: the name of a column. By default, the data guesses.
        data: Name of the data that is to read it; by default, the data that is most sure.
        model: One of the draft's choices, or the name of any model; by default, the first choice.

    Raises:
        UserError: When there is no such file, no data takes it, it is damaged, or has no such target.
    """
    if not path.exists():
        raise UserError(f"no such file or folder: {path}")
    failed: dict[str, UserError] = {}
    drafts = sorted(_drafts(path, catalog, target, data, failed), key=lambda found: -found[1].confidence)
    if not drafts:
        raise _none_drafted(path, catalog, data, failed)
    component, draft = drafts[0]
    choice = model or next(iter(draft.choices))
    return Proposal(
        path,
        component,
        draft,
        choice,
        tuple(other.name for other, _ in drafts[1:]),
        {
            "rk": 1,
            "data": {"name": component.name, **draft.data},
            **_sections(draft, choice, catalog),
        },
    )


def _drafts(
    path: Path, catalog: Catalog, target: str | None, data: str | None, failed: dict[str, UserError]
) -> Iterator[tuple[Component, Draft]]:
    """Yields the drafts of all data that take the file; adds those that cannot read it to `failed`."""
    chosen = None if data is None else catalog.resolve("data", data)
    for component in catalog.of_kind("data"):
        if (chosen is None and _takes(component, path, catalog)) or component == chosen:
            cls = catalog.load(component)
            try:
                drafted = cls.draft(path, target) if hasattr(cls, "draft") else None
            except UserError as error:
                failed[component.name] = error
                continue
            if drafted is not None:
                yield component, drafted


def _takes(component: Component, path: Path, catalog: Catalog) -> bool:
    endings = _endings(component, catalog)
    if path.is_dir():
        return FOLDER in endings
    name = path.name.lower().removesuffix(".gz")
    return any(ending != FOLDER and name.endswith(ending) for ending in endings)


def _endings(component: Component, catalog: Catalog) -> tuple[str, ...]:
    try:
        return class_literal(catalog.info(component), "drafts")
    except UserError:  # a plugin that cannot be read is the doctor's
        return ()


def _none_drafted(path: Path, catalog: Catalog, data: str | None, failed: dict[str, UserError]) -> UserError:
    """Returns why there is no draft: what is wrong with the file, or that no data takes it."""
    if len(failed) == 1:
        return next(iter(failed.values()))
    if failed:  # each would advise for its own kind of file
        first = next(iter(failed.values()))
        same = {error.hint for error in failed.values()} == {first.hint}
        return UserError(
            first.message, first.hint if same else f"it was tried as {', '.join(failed)}; --data names one"
        )
    if data is not None:
        return UserError(f"the data {data} proposes no recipe for {path}", "rk show data NAME has its parameters")
    endings = sorted({e for c in catalog.of_kind("data") for e in _endings(c, catalog)} - {FOLDER})
    folders = " and folders" if any(FOLDER in _endings(c, catalog) for c in catalog.of_kind("data")) else ""
    hint = f"recipes are proposed for {', '.join(endings)}{folders}" if endings else "pip install rk-tabular"
    return UserError(f"no installed data proposes a recipe for {path}", hint)


def _sections(draft: Draft, choice: str, catalog: Catalog) -> PlainDict:
    """Returns the sections of a choice of the draft; of any other model, those of the first choice that has a model."""
    if choice in draft.choices:
        return draft.choices[choice]
    try:
        catalog.resolve("model", choice)
    except Unresolved:
        names = [*draft.choices, *(c.name for c in catalog.of_kind("model"))]
        hint = suggest(choice, names, "models") or f"choose from {', '.join(draft.choices)}, or any installed model"
        raise UserError(f"unknown model {choice!r}", hint) from None
    sections = next((s for s in draft.choices.values() if "model" in s), next(iter(draft.choices.values())))
    return {**sections, "model": {"name": choice}}
