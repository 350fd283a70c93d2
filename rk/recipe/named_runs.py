"""A run as a value in a recipe: its folder, or the recipe that trains it."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rk.errors import Problem, RecipeError, UserError, suggest
from rk.recipe.find import RecipeFile, find_recipe, resolved
from rk.recipe.model import RunRef, Wanted
from rk.recipe.tree import Mapping, Node, Scalar, Sequence, describe

if TYPE_CHECKING:
    from rk.recipe.check import Checker

KEYS = ("run", "recipe", "overrides")


def read_run(checker: Checker, node: Node, key: str) -> Any:
    """Checks a value that names a run: a folder, ``last``, or a mapping with ``recipe``.

    Returns:
        A `RunRef`; INVALID after a report.
    """
    if isinstance(node, Mapping):
        return _of_mapping(checker, node, key)
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        hint = f"write {key}: RUN, or {key}: {{recipe: NAME}} for a run of that recipe"
        return checker.report(node.mark, key, f"expected a run folder, found {describe(node)}", hint)
    try:
        return _usable(checker, node, key, RunRef(_found(checker, node.value)))
    except UserError as error:
        hint = error.hint
        with contextlib.suppress(UserError):
            name = find_recipe(node.value, checker.catalog.plugins, checker.file).name
            hint = f"{name} is a recipe: write {{recipe: {node.value}}} for a run of it"
        return checker.report(node.mark, key, error.message, hint)
    except OSError as error:  # a name too long for the file system
        return checker.report(node.mark, key, f"no such run: {error.strerror}")


def _found(checker: Checker, text: str) -> Path:
    """Returns the folder of a run: beside the recipe, as in the folder of a run, or where runs are."""
    if checker.file is not None and (beside := checker.file.path.parent / text).joinpath("run.json").is_file():
        return beside.resolve()
    return Path(text) if checker.run_finder is None else checker.run_finder(text)


def _usable(checker: Checker, node: Node, key: str, run: RunRef) -> Any:
    """Returns `run`; INVALID after a report where a new run cannot begin from it."""
    if checker.stored or run.folder is None or not (run.folder / "run.json").is_file():
        return run
    from rk.runs.folder import RunFolder  # most recipes name no run
    from rk.runs.kept import why_not_taken

    problem = why_not_taken(RunFolder(run.folder))
    return run if problem is None else checker.report(node.mark, key, *problem)


def _of_mapping(checker: Checker, node: Mapping, key: str) -> Any:
    for name in node.items:
        if name not in KEYS:
            return checker.report(node.mark_of(name), f"{key}.{name}", "unknown key", suggest(name, KEYS, "a run has"))
    texts = {name: node.items[name] for name in ("run", "recipe") if name in node.items}
    for name, child in texts.items():
        if not isinstance(child, Scalar) or not isinstance(child.value, str):
            hint = "recipe: NAME, as in rk recipes, or a file that ends in .yaml" if name == "recipe" else "run: RUN"
            return checker.report(child.mark, f"{key}.{name}", f"expected a string, found {describe(child)}", hint)
    if "recipe" not in texts:
        return (
            read_run(checker, texts["run"], f"{key}.run")
            if texts
            else checker.report(
                node.mark, f"{key}.recipe", "missing: the recipe whose run is taken", f"{key}: {{recipe: NAME}}"
            )
        )
    overrides = _overrides(checker, node, key)
    if overrides is None:
        return checker.invalid
    wanted = Wanted(texts["recipe"].value, overrides)
    if "run" in texts:
        with contextlib.suppress(UserError, OSError):
            folder = _found(checker, texts["run"].value)
            if (folder / "run.json").is_file():
                return _usable(checker, texts["run"], f"{key}.run", RunRef(folder, wanted, texts["run"].value))
        if checker.stored:  # it may be needed no more
            return RunRef(None, wanted)
    return _yet_to_be_trained(checker, texts["recipe"], wanted, f"{key}.recipe")


def _overrides(checker: Checker, node: Mapping, key: str) -> tuple[str, ...] | None:
    """Returns the overrides; None after a report."""
    found = node.items.get("overrides")
    items = found.items if isinstance(found, Sequence) else [] if found is None else None
    if items is None or not all(isinstance(item, Scalar) and isinstance(item.value, str) for item in items):
        hint = "overrides: ['fit.max_steps=100']"
        checker.report(found.mark, f"{key}.overrides", "expected a list of texts key=value", hint)
        return None
    return tuple(item.value for item in items)


def _yet_to_be_trained(checker: Checker, node: Scalar, wanted: Wanted, key: str) -> Any:
    """Checks the recipe of a run that is yet to be found or trained."""
    from rk.contract import check_contract
    from rk.recipe.check import read_recipe

    try:
        typed = node.mark.line == 0 and wanted.name.endswith((".yaml", ".yml")) and Path(wanted.name).is_file()
        file = find_recipe(wanted.name, checker.catalog.plugins, None if typed else checker.file)
    except UserError as error:
        return checker.report(node.mark, key, error.message, error.hint)
    place = resolved(file.path)
    if place in checker.above:
        return checker.report(node.mark, key, f"{file.name} begins from a run of itself")
    try:
        recipe, problems, _ = read_recipe(
            file, wanted.overrides, checker.catalog, run_finder=checker.run_finder, above=checker.above
        )
        problems += check_contract(recipe, checker.catalog)[1]
    except RecipeError as error:
        problems = error.problems
    if problems:
        return _mistake_within(checker, node, key, file, problems, wanted)
    name = file.name if file.plugin else str(place)
    return RunRef(None, Wanted(name, wanted.overrides, file, recipe))


def _mistake_within(
    checker: Checker, node: Scalar, key: str, file: RecipeFile, problems: list[Problem], wanted: Wanted
) -> Any:
    """Reports the first mistake of the recipe that `node` names; one of its overrides is a mistake of that key."""
    first = problems[0]
    said = f"{first.key}: {first.message}" if first.key else first.message
    hints = [first.hint] if first.hint else []
    if len(problems) > 1:
        given = "".join(f" {shlex.quote(override)}" for override in wanted.overrides)
        hints.append(f"rk validate {shlex.quote(wanted.name)}{given} shows all {len(problems)} problems")
    hint = "; ".join(hints) or None
    if not first.mark.line and wanted.overrides:  # the inner recipe's command line is this recipe's key
        place = key.removesuffix("recipe") + "overrides"
        text = first.mark.source.removeprefix("command line: ")
        return checker.report(node.mark, place, f"{file.name} has a mistake: {text}: {said}", hint)
    return checker.report(node.mark, key, f"{file.name} has a mistake: {first.mark}: {said}", hint)
