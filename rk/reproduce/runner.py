"""Training what is to be reproduced, one run per seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from rk.catalog import Catalog
from rk.errors import ExitCode
from rk.fit.begin import Supplier, begin, earlier_run, taken_up
from rk.fit.train import train
from rk.recipe import check_recipe
from rk.recipe.find import RecipeFile
from rk.report.summary import last_logged
from rk.reproduce.results import Measured
from rk.runs import RunFolder


class Stopped(Exception):
    """The user stopped one run or several; they have their checkpoints."""

    def __init__(self, exit_code: int, where: str) -> None:
        super().__init__(where)
        self.exit_code = exit_code


class Runner:
    """Trains recipes.

    Args:
        catalog: The installed components.
        root: Folder of the runs.
        seeds: Runs per recipe: its own seed and those after it.
        reuse: Takes finished runs of exactly the same recipe and versions, and resumes interrupted ones.
        say: Prints a line.
        began: Called when a run begins: those that it begins from are trained.
    """

    def __init__(
        self,
        catalog: Catalog,
        root: Path,
        seeds: int,
        reuse: bool,
        say: Callable[[str], None],
        began: Callable[[], None] = lambda: None,
    ) -> None:
        self.catalog = catalog
        self.root = root
        self.seeds = seeds
        self.reuse = reuse
        self.say = say
        self.began = began

    def seeds_of(self, file: RecipeFile) -> list[int]:
        """Returns the seeds that a recipe is trained with."""
        first = check_recipe(file, (), self.catalog).valid().fit.seed
        return [first + i for i in range(self.seeds)]

    def measure(self, file: RecipeFile, logged: Iterable[str] = ()) -> Measured:
        """Trains a recipe with each seed, one after the other.

        Args:
            file: The recipe.
            logged: ``train/...`` metrics whose last logged value is kept with the final metrics.

        Raises:
            Stopped: When the user stops a run.
        """
        return self.measured(file, {seed: self.run(file, seed) for seed in self.seeds_of(file)}, logged)

    def measured(self, file: RecipeFile, folders: Mapping[int, RunFolder], logged: Iterable[str] = ()) -> Measured:
        """Returns what the finished runs of a recipe reached, by their seeds; `logged` as in `measure`."""
        wanted = [*logged]
        infos = [(folder, folder.read()) for folder in folders.values()]
        runs = [{**info, "metrics": {**info["metrics"], **last_logged(folder, wanted)}} for folder, info in infos]
        return Measured.of_runs(check_recipe(file, (), self.catalog).valid(), runs, [*folders])

    def run(self, file: RecipeFile, seed: int) -> RunFolder:
        """Trains a recipe with one seed, or takes the run that is there; returns its folder.

        Raises:
            Stopped: When the user stops the run.
        """
        recipe = check_recipe(file, (f"fit.seed={seed}",), self.catalog).valid()
        folder = earlier_run(recipe, self.root) if self.reuse else None
        if folder is not None and folder.read()["status"] == "done":
            self.say(f"{recipe.name}, seed {recipe.fit.seed}: taken from {folder.label}")
            return folder
        resume = folder is not None
        folder = folder or begin(recipe, self.root, Supplier(self.catalog, self.root, self.say))
        self.say(f"{recipe.name}, seed {recipe.fit.seed} -> {folder.label}")
        self.began()
        outcome = train(taken_up(recipe, folder), self.catalog, folder, resume=resume)
        if outcome.exit_code != ExitCode.OK:
            raise Stopped(outcome.exit_code, outcome.folder.label)
        return folder
