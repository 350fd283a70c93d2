"""A run as a value in a recipe: its folder, or the recipe that trains it."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable
from pathlib import Path

from rk.catalog import Catalog
from rk.errors import Problem, UserError, suggest
from rk.recipe.components import Components
from rk.recipe.find import RecipeFile, find_recipe, resolved
from rk.recipe.model import Recipe, RunRef, Trainable, Wanted
from rk.recipe.tree import Mapping, Node, Scalar, Sequence, describe
from rk.recipe.values import INVALID
from rk.values import Value

KEYS = ("run", "recipe", "overrides")

CheckNamed = Callable[[RecipeFile, tuple[str, ...]], tuple[Recipe | None, list[Problem]]]
"""Checks the recipe that a recipe begins from, with overrides: returns it, and all its problems."""


class NamedRuns(Components):
    """Turns nodes that name runs into `RunRef`; further arguments as for `Values`.

    Args:
        check_named: Checks the recipe of a run that is yet to be trained.
        above: The files that lead to this recipe, itself included: none of them may be named.
    """

    def __init__(
        self,
        catalog: Catalog,
        file: RecipeFile | None = None,
        run_finder: Callable[[str], Path] | None = None,
        *,
        stored: bool = False,
        check_named: CheckNamed | None = None,
        above: tuple[Path, ...] = (),
    ) -> None:
        super().__init__(catalog, file, run_finder, stored=stored)
        self.check_named = check_named
        self.above = above

    def run(self, node: Node, key: str) -> Value:
        """Checks a value that names a run: a folder, ``last``, or a mapping with ``recipe``.

        Returns:
            A `RunRef`; INVALID after a report.
        """
        if isinstance(node, Mapping):
            return self._of_mapping(node, key)
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            hint = f"write {key}: RUN, or {key}: {{recipe: NAME}} for a run of that recipe"
            return self.report(node.mark, key, f"expected a run folder, got {describe(node)}", hint)
        try:
            return self._usable(node, key, RunRef(self._found(node.value)))
        except UserError as error:
            said = error.hint
            with contextlib.suppress(UserError):
                name = find_recipe(node.value, self.catalog.plugins, self.file).name
                said = f"{name} is a recipe: write {{recipe: {node.value}}} for a run of it"
            return self.report(node.mark, key, error.message, said)
        except OSError as error:  # a name too long for the file system
            return self.report(node.mark, key, f"no such run: {error.strerror}")

    def _found(self, text: str) -> Path:
        """Returns the folder of a run: beside the recipe, as in the folder of a run, or where runs are."""
        if self.file is not None and (beside := self.file.path.parent / text).joinpath("run.json").is_file():
            return beside.resolve()
        return Path(text) if self.run_finder is None else self.run_finder(text)

    def _usable(self, node: Node, key: str, run: RunRef) -> Value:
        """Returns `run`; INVALID after a report where a new run cannot begin from it."""
        if self.stored or run.folder is None or not (run.folder / "run.json").is_file():
            return run
        from rk.runs.folder import RunFolder  # most recipes name no run
        from rk.runs.kept import why_not_taken

        problem = why_not_taken(RunFolder(run.folder))
        return run if problem is None else self.report(node.mark, key, *problem)

    def _of_mapping(self, node: Mapping, key: str) -> Value:
        for name in node.items:
            if name not in KEYS:
                return self.report(node.mark_of(name), f"{key}.{name}", "unknown key", suggest(name, KEYS, "a run has"))
        texts: dict[str, Scalar] = {}
        for name in ("run", "recipe"):
            if (child := node.items.get(name)) is None:
                continue
            if not isinstance(child, Scalar) or not isinstance(child.value, str):
                hint = (
                    "recipe: NAME, as in rk recipes, or a file that ends in .yaml" if name == "recipe" else "run: RUN"
                )
                return self.report(child.mark, f"{key}.{name}", f"expected a string, got {describe(child)}", hint)
            texts[name] = child
        if "recipe" not in texts:
            return (
                self.run(texts["run"], f"{key}.run")
                if texts
                else self.report(
                    node.mark, f"{key}.recipe", "missing: the recipe whose run is taken", f"{key}: {{recipe: NAME}}"
                )
            )
        overrides = self._overrides(node, key)
        if overrides is None:
            return INVALID
        wanted = Wanted(texts["recipe"].value, overrides)
        if "run" in texts:
            with contextlib.suppress(UserError, OSError):
                folder = self._found(texts["run"].value)
                if (folder / "run.json").is_file():
                    return self._usable(texts["run"], f"{key}.run", RunRef(folder, wanted, texts["run"].value))
            if self.stored:  # it may be needed no more
                return RunRef(None, wanted)
        return self._yet_to_be_trained(texts["recipe"], wanted, f"{key}.recipe")

    def _overrides(self, node: Mapping, key: str) -> tuple[str, ...] | None:
        """Returns the overrides; None after a report."""
        found = node.items.get("overrides")
        if found is None:
            return ()
        items = found.items if isinstance(found, Sequence) else [found]
        texts = [item.value for item in items if isinstance(item, Scalar) and isinstance(item.value, str)]
        if not isinstance(found, Sequence) or len(texts) < len(items):
            hint = "overrides: ['fit.max_steps=100']"
            self.report(found.mark, f"{key}.overrides", "expected a list of texts key=value", hint)
            return None
        return tuple(texts)

    def _yet_to_be_trained(self, node: Scalar, wanted: Wanted, key: str) -> Value:
        """Checks the recipe of a run that is yet to be found or trained."""
        try:
            typed = node.mark.line == 0 and wanted.name.endswith((".yaml", ".yml")) and Path(wanted.name).is_file()
            file = find_recipe(wanted.name, self.catalog.plugins, None if typed else self.file)
        except UserError as error:
            return self.report(node.mark, key, error.message, error.hint)
        place = resolved(file.path)
        if place in self.above:
            return self.report(node.mark, key, f"{file.name} begins from a run of itself")
        if self.check_named is None:
            return self.report(node.mark, key, "a recipe cannot be named here", "name a run, or its folder")
        recipe, problems = self.check_named(file, wanted.overrides)
        if problems or recipe is None:
            return self._mistake_within(node, key, file, problems, wanted)
        name = file.name if file.plugin else str(place)
        return RunRef(None, Trainable(name, wanted.overrides, file, recipe))

    def _mistake_within(
        self, node: Scalar, key: str, file: RecipeFile, problems: list[Problem], wanted: Wanted
    ) -> Value:
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
            return self.report(node.mark, place, f"{file.name} has a mistake: {text}: {said}", hint)
        return self.report(node.mark, key, f"{file.name} has a mistake: {first.mark}: {said}", hint)
