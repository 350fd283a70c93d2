"""Shared by several commands: a recipe is found, read and checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rk.errors import Problem, UserError

if TYPE_CHECKING:  # completion asks the commands for their parameters alone
    from rk.catalog import Catalog
    from rk.recipe.check import Checked


def load_recipe(name: str, overrides: tuple[str, ...], catalog: Catalog, root: Path | None = None) -> Checked:
    """Finds, reads and checks a recipe. Raises `RecipeError` with all problems, where there are any."""
    from rk.recipe import check_recipe
    from rk.recipe.find import find_recipe

    checked = check_recipe(find_recipe(name, catalog.plugins), overrides, catalog, run_finder=run_finder(root))
    checked.valid()
    return checked


def run_finder(root: Path | None) -> Callable[[str], Path]:
    """Returns what turns the text of a run into its folder."""

    def find(text: str) -> Path:
        from rk.runs import RunFolder, default_root

        return RunFolder.find(text, root or default_root()).path.resolve()

    return find


def resumed_run(resume: str, given: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Returns the run that `--resume` names and the overrides.

    Args:
        resume: The option's value: a run, or an override, which means the run `last`.
        given: The other words of the command.

    Raises:
        UserError: When a recipe is given too: a run has its own.
    """
    if _is_override(resume):
        resume, given = "last", (resume, *given)
    for word in given:
        if not _is_override(word):
            raise UserError(
                f"--resume takes a run, which has its recipe: {word!r} is one word too many",
                f"write: rk train --resume {resume}",
            )
    return resume, given


def _is_override(word: str) -> bool:
    return "=" in word or word.startswith("~")


def show_warnings(warnings: list[Problem]) -> None:
    from rk.cli.messages import note

    for warning in warnings:
        note(f"warning: {warning}")
