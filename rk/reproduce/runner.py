"""Training what is to be reproduced, one run per seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from rk.catalog import Catalog
from rk.errors import ExitCode
from rk.fit.begin import Supplier, begin, earlier_run, taken_up
from rk.fit.loop import Outcome
from rk.fit.train import train
from rk.recipe import Recipe, check_recipe
from rk.recipe.find import RecipeFile
from rk.report.summary import last_logged
from rk.reproduce.results import Measured
from rk.runs import RunFolder


class Stopped(Exception):
    """The user stopped a run; it has its checkpoint."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.folder.label)
        self.exit_code = outcome.exit_code


class Runner:
    """Trains recipes.

    Args:
        catalog: The installed components.
        root: Folder of the runs.
        seeds: Runs per recipe: its own seed and those after it.
        reuse: Takes finished runs of exactly the same recipe and versions, and resumes interrupted ones.
        say: Prints a line.
    """

    def __init__(self, catalog: Catalog, root: Path, seeds: int, reuse: bool, say: Callable[[str], None]) -> None:
        self.catalog = catalog
        self.root = root
        self.seeds = seeds
        self.reuse = reuse
        self.say = say

    def measure(self, file: RecipeFile, logged: Iterable[str] = ()) -> Measured:
        """Trains a recipe with each seed.

        Args:
            file: The recipe.
            logged: ``train/...`` metrics whose last logged value is kept with the final metrics.

        Raises:
            Stopped: When the user stops a run.
        """
        recipe = check_recipe(file, (), self.catalog).valid()
        seeds = [recipe.fit.seed + i for i in range(self.seeds)]
        seeded = (check_recipe(file, (f"fit.seed={seed}",), self.catalog).valid() for seed in seeds)
        folders = [self._run(recipe) for recipe in seeded]
        runs = [{**(info := f.read()), "metrics": {**info["metrics"], **last_logged(f, logged)}} for f in folders]
        return Measured.of_runs(recipe, runs, seeds)

    def _run(self, recipe: Recipe) -> RunFolder:
        folder = earlier_run(recipe, self.root) if self.reuse else None
        if folder is not None and folder.read()["status"] == "done":
            self.say(f"{recipe.name}, seed {recipe.fit.seed}: taken from {folder.label}")
            return folder
        resume = folder is not None
        folder = folder or begin(recipe, self.root, Supplier(self.catalog, self.root, self.say))
        self.say(f"{recipe.name}, seed {recipe.fit.seed} -> {folder.label}")
        outcome = train(taken_up(recipe, folder), self.catalog, folder, resume=resume)
        if outcome.exit_code != ExitCode.OK:
            raise Stopped(outcome)
        return folder
