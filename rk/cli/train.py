"""`rk train`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from rk.cli.complete import complete_override, complete_recipe, complete_run
from rk.cli.loading import load_recipe, resumed_run, show_warnings
from rk.cli.options import resume_option, runs_dir_option
from rk.cli.output import echo
from rk.errors import ExitCode, UserError, counted
from rk.verbosity import is_quiet

if TYPE_CHECKING:
    from rk.catalog import Catalog
    from rk.fit.loop import Outcome
    from rk.recipe.findings import Binding
    from rk.recipe.model import Recipe
    from rk.runs import RunFolder


@click.command()
@click.argument("recipe", required=False, shell_complete=complete_recipe)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...", shell_complete=complete_override)
@resume_option
@click.option(
    "--from",
    "source",
    metavar="RUN",
    shell_complete=complete_run,
    help="Begin with the weights of a run, a folder, a .safetensors file or hf://owner/name: init_from.run=RUN.",
)
@click.option("--dry-run", is_flag=True, help="Build everything, run one real batch, print the binding; keep nothing.")
@runs_dir_option
def train(
    recipe: str | None,
    overrides: tuple[str, ...],
    resume: str | None,
    source: str | None,
    dry_run: bool,
    runs_dir: Path | None,
) -> int:
    """Train a recipe.

    RECIPE is a packaged recipe (plugin/name, or just the name) or a path that ends in .yaml. KEY=VALUE overrides one
    of its keys; ~KEY drops one.

    \b
    rk train pointer-net/convex-hull-quick
    rk train my-recipe.yaml model.hidden_size=64 fit.max_steps=10
    rk train my-recipe.yaml --from last fit.freeze='["blocks.*"]'
    rk train --resume
    rk train --resume last fit.max_steps=20000
    """
    from rk.catalog import Catalog
    from rk.runs import RunFolder, default_root

    root = runs_dir or default_root()
    if resume is not None and source is not None:
        raise UserError("--resume and --from exclude each other", "a run that is resumed has its weights")
    if resume is not None:
        resume, given = resumed_run(resume, tuple(x for x in (recipe, *overrides) if x is not None))
        return _resume(RunFolder.find(resume, root, last="recipe"), given)
    if recipe is None:
        raise UserError("which recipe?", "rk recipes lists those that are installed")
    catalog = Catalog()
    if source is not None:
        from rk.recipe.dump import in_override

        overrides = (*overrides, f"init_from.run={in_override(source)}")
    checked = load_recipe(recipe, overrides, catalog, root)
    show_warnings(checked.warnings)
    if dry_run:
        return _dry_run(checked.recipe, checked.binding, catalog, root)
    return run(checked.recipe, catalog, root)


def run(recipe: Recipe, catalog: Catalog, root: Path) -> int:
    """Runs a checked recipe in a new folder and prints how it ended."""
    from rk.report.text import titled

    folder = _placed(recipe, lambda: _begin(recipe, catalog, root))
    recipe = _kept(recipe, folder)
    if _is_main(folder):
        folder.update(overrides=recipe.overrides)
    said = _is_main(folder) and not is_quiet()
    if said:
        echo(f"{titled(recipe.name, recipe.overrides)} -> {folder.label}")
    try:
        outcome = _fit(recipe, catalog, folder)
    except UserError:
        if said and not folder.path.exists():
            echo(f"nothing was run: {folder.label} was removed")
        raise
    return _report(outcome, recipe)


def _begin(recipe: Recipe, catalog: Catalog, root: Path) -> RunFolder:
    """Makes the folder of a new run; first come the runs that it begins from, where its recipe names any."""
    from rk.recipe.walk import named_runs
    from rk.runs import RunFolder

    if not any(named_runs(recipe)):
        return RunFolder.begin(root, recipe.name, recipe.to_yaml())
    from rk.fit.begin import Supplier, begin

    return begin(recipe, root, Supplier(catalog, root, _unsaid if is_quiet() else echo))


def _unsaid(text: str) -> None:
    """Takes the place of `echo` where the command is quiet."""


def _kept(recipe: Recipe, folder: RunFolder) -> Recipe:
    """Returns the recipe with the runs that are kept in its folder."""
    from rk.recipe.walk import named_runs

    if not any(named_runs(recipe)):
        return recipe
    from rk.fit.begin import taken_up

    return taken_up(recipe, folder)


def _resume(folder: RunFolder, overrides: tuple[str, ...]) -> int:
    from rk.catalog import Catalog
    from rk.recipe.stored import lengthens, read_stored

    folder.refuse_if_active()
    if folder.read().get("status") == "done" and not overrides:
        echo(f"{folder.label} is complete: there is nothing to resume")
        return ExitCode.OK
    catalog = Catalog()
    recipe = read_stored(folder, overrides, catalog, resuming=True)
    folder = _placed(recipe, lambda: folder)
    if _is_main(folder) and not is_quiet():
        echo(f"resuming {folder.label}")
    extend = lengthens(overrides, recipe, catalog)
    return _report(_fit(recipe, catalog, folder, resume=True, extend=extend, overrides=overrides), recipe)


class Settings(TypedDict, total=False):
    """How a run is taken up again; see `rk.fit.train.train`."""

    resume: bool
    extend: bool
    overrides: tuple[str, ...]


def _fit(recipe: Recipe, catalog: Catalog, folder: RunFolder, **settings: Unpack[Settings]) -> Outcome:
    """Runs the recipe; of the processes that `torchrun` has started, none leaves before the others are done."""
    from rk.fit.progress import start_loading

    if _is_main(folder):
        start_loading()  # torch takes seconds to import
    from rk.fit.train import train as fit

    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return fit(recipe, catalog, folder, **settings)
    from rk.fit.launch import leave

    try:
        outcome = fit(recipe, catalog, folder, **settings)
    except BaseException:
        leave(together=False)
        raise
    leave(together=True)
    return outcome


def _placed(recipe: Recipe, folder: Callable[[], RunFolder]) -> RunFolder:
    """Returns the folder; of the processes that `torchrun` has started, the first one makes it for all."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return folder()
    from rk.fit.launch import join_torchrun, shared
    from rk.runs import Bystander, RunFolder

    rank = join_torchrun(recipe)
    path = shared(lambda: folder().path)
    return RunFolder(path) if rank == 0 else Bystander(path)


def _is_main(folder: RunFolder) -> bool:
    from rk.runs import RunFolder

    return type(folder) is RunFolder


def _dry_run(recipe: Recipe, binding: Binding, catalog: Catalog, root: Path) -> int:
    from rk.cli.validate import print_binding
    from rk.fit.dryrun import dry_run

    print_binding(recipe, binding)
    for line in dry_run(recipe, catalog, root):
        echo(line)
    return ExitCode.OK


def _report(outcome: Outcome, recipe: Recipe) -> int:
    """Prints the table that a run ends with: metric, value, the paper's number, bar, verdict."""
    from rk.cli.output import print_table
    from rk.report.claims import judge, results_table
    from rk.report.summary import claimed_metrics

    if outcome.exit_code != ExitCode.OK or not _is_main(outcome.folder):
        return outcome.exit_code
    if outcome.summary:
        echo(f"\n{outcome.summary.rstrip()}\n")
    metrics = claimed_metrics(outcome.metrics, recipe.expect, outcome.folder)
    if judged := judge(metrics, recipe.expect, outcome.folder.read().get("higher_is_better")):
        print_table(*results_table(judged))
    if is_quiet():
        return ExitCode.OK
    figures = outcome.folder.figures
    if drawn := sorted(path.name for path in figures.iterdir()) if figures.is_dir() else []:
        echo(f"figures: {', '.join(drawn)}")
    done = f"{counted(outcome.steps, 'step')}, {outcome.folder.read()['seconds']:.1f} s"
    echo(f"{done}; the run is in {outcome.folder.label}")
    return ExitCode.OK
