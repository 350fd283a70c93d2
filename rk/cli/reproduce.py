"""`rk reproduce`."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rk.cli.complete import complete_target
from rk.cli.messages import show
from rk.cli.options import json_option, runs_dir_option
from rk.errors import ExitCode, UserError, counted
from rk.verbosity import is_quiet

if TYPE_CHECKING:
    from rk.catalog import Catalog
    from rk.recipe.find import RecipeFile
    from rk.reproduce.ledger import Line
    from rk.reproduce.plan import Reproduction
    from rk.reproduce.results import Measured, Store
    from rk.reproduce.runner import Runner
    from rk.runs import RunFolder


@click.command()
@click.argument(
    "targets", nargs=-1, required=True, metavar="RECIPE|PLUGIN|FOLDER|all...", shell_complete=complete_target
)
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Runs per recipe.")
@click.option(
    "--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Runs at once, each in a process."
)
@click.option("--reuse", is_flag=True, help="Take finished runs of the same recipe and versions; resume stopped ones.")
@click.option("--stored", is_flag=True, help="Train nothing: judge the results that are stored.")
@click.option("--locked", is_flag=True, help="Repeat finished runs in their environments; compare the weights.")
@click.option("--store", is_flag=True, help="Keep the results beside the recipes, wherever the runs are.")
@click.option("--markdown", is_flag=True, help="Print the ledger as a Markdown page.")
@click.option(
    "--pages",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write a Markdown page per plugin, and a front page.",
)
@json_option
@runs_dir_option
def reproduce(
    targets: tuple[str, ...],
    seeds: int,
    jobs: int,
    reuse: bool,
    stored: bool,
    locked: bool,
    store: bool,
    markdown: bool,
    pages: Path | None,
    as_json: bool,
    runs_dir: Path | None,
) -> int:
    """Train recipes and their baselines, and check what they claim.

    Prints the ledger: claim, the paper's value, what was reached, verdict; exits 3 when a claim is not met. With
    several seeds, the mean is judged, and its difference to the baseline's seed by seed. Results are kept in
    results.json with the digest of each recipe, so that later changes to it show: beside your own recipes, and beside
    those of a plugin whose checkout you are in; else in the folder of the runs. With --runs-dir or RK_RUNS, a plugin's
    results go there too, unless --store is given.

    With --locked, runs are named, not recipes. uv builds the environment that each has recorded, the run's recipe is
    trained there, and its weights and metrics are compared, bit for bit; exits 3 when they differ.

    \b
    rk reproduce pointer-net/convex-hull-quick
    rk reproduce pointer-net --seeds 3 --jobs 2 --runs-dir claims
    rk reproduce all --stored
    rk reproduce last --locked
    """
    from rk.catalog import Catalog
    from rk.reproduce.plan import plan
    from rk.reproduce.results import Store
    from rk.runs import RUNS_VARIABLE, default_root

    if locked:
        if stored or reuse or store or markdown or pages or seeds > 1 or jobs > 1:
            raise UserError("--locked repeats runs as they were", "only --json and --runs-dir go with it")
        return _repeat(targets, runs_dir, as_json)
    if stored and (reuse or seeds > 1 or jobs > 1):
        raise UserError("--stored trains nothing", "leave out --seeds, --jobs and --reuse, or --stored")
    root, catalog = runs_dir or default_root(), Catalog()
    store_in = Store(
        root,
        elsewhere=bool(runs_dir or os.environ.get(RUNS_VARIABLE)),
        beside=store,
        shipped={plugin.recipes.resolve() for plugin in catalog.plugins if plugin.recipes is not None},
    )
    items = plan(targets, catalog)
    files = [file for item in items for file in (item.file, *item.baselines.values())]
    for file in files:
        store_in.path(file)  # a missing place is reported before anything is trained
    quiet = as_json or markdown
    code: int = ExitCode.OK
    if not stored:
        from rk.reproduce.runner import Runner

        with contextlib.redirect_stdout(sys.stderr) if quiet else contextlib.nullcontext():
            code = _train(items, Runner(catalog, root, seeds, reuse, _unheard if is_quiet() else print), store_in, jobs)
    if code != ExitCode.OK:
        again = ["rk", "reproduce", *targets, "--seeds", str(seeds), "--reuse"]
        again += ["--jobs", str(jobs)] if jobs > 1 else []
        again += ["--store"] if store else []
        again += [] if runs_dir is None else ["--runs-dir", str(runs_dir)]
        show(f"stopped; resume with: {shlex.join(again)}")
        return code
    return _print(items, store_in.read(files), catalog, as_json, markdown, pages)


def _repeat(runs: tuple[str, ...], root: Path | None, as_json: bool) -> int:
    """Repeats each run in its own environment; prints whether it came out equal."""
    from rk.cli.output import echo, print_json
    from rk.reproduce.locked import repeat
    from rk.runs import RunFolder

    found = []
    for folder in RunFolder.find_all(runs, root):
        found.append(repeat(folder, show))
        for line in () if as_json else found[-1].lines():
            echo(line)
    if as_json:
        print_json([one.plain() for one in found])
    return ExitCode.OK if all(one.equal for one in found) else ExitCode.CLAIM_NOT_REACHED


def _train(items: list[Reproduction], runner: Runner, store: Store, jobs: int) -> int:
    from rk.reproduce.plan import logged_claims, to_train
    from rk.reproduce.runner import Stopped

    files, left_out = to_train(items)
    for name in left_out:
        runner.say(f"{name} is left out for what it takes; rk reproduce {name} trains it")
    paths: list[Path] = []
    logged = logged_claims(items)
    try:
        if jobs > 1:
            _train_at_once(files, runner, store, jobs, logged, paths)
        else:
            for file in files:
                paths.append(store.add(file, runner.measure(file, logged)))
    except Stopped as stop:
        return stop.exit_code
    for path in dict.fromkeys(paths):
        print(f"results are in {path}")
    return ExitCode.OK


def _train_at_once(
    files: list[RecipeFile], runner: Runner, store: Store, jobs: int, logged: list[str], paths: list[Path]
) -> None:
    """Trains in several processes; a recipe's results are stored as soon as its last seed is done."""
    from rk.reproduce.workers import Workers

    seeds = {file.name: runner.seeds_of(file) for file in files}
    folders: dict[str, dict[int, RunFolder]] = {name: {} for name in seeds}
    total = sum(map(len, seeds.values()))

    def done(file: RecipeFile, seed: int, folder: RunFolder) -> None:
        own = folders[file.name]
        own[seed] = folder
        count = sum(map(len, folders.values()))
        runner.say(f"{file.name}, seed {seed}: done ({count} of {total})")
        if len(own) == len(seeds[file.name]):
            inside = {one: own[one] for one in seeds[file.name]}
            paths.append(store.add(file, runner.measured(file, inside, logged)))

    Workers(runner, jobs).run(files, done)


def _unheard(text: str) -> None:
    """Takes the place of `print` where the command is quiet."""


def _print(
    items: list[Reproduction],
    results: dict[str, Measured],
    catalog: Catalog,
    as_json: bool,
    as_page: bool,
    pages: Path | None,
) -> int:
    from rk.cli.output import print_json, print_table
    from rk.recipe import check_recipe
    from rk.reproduce.ledger import ledger
    from rk.reproduce.pages import causes, markdown, notes, summary, write_pages

    files = {file.name: file for item in items for file in (item.file, *item.baselines.values())}
    recipes = {name: check_recipe(f, (), catalog).valid() for name, f in files.items() if name in results}
    current = {name: results[name].is_of(recipe) for name, recipe in recipes.items()}
    lines = [line for item in items for line in ledger(item, results, current)]
    if pages is not None:
        write_pages(pages, items, lines, results)
    if as_json:
        print_json([line.plain() for line in lines])
    elif as_page:
        click.echo(markdown(items, lines, results), nl=False)
    else:
        columns = ("recipe", "claim", "paper", "reached", "baseline", "better by", "verdict")
        print_table(columns, [_row(line) for line in lines])
        for note in notes(lines):
            click.echo(note)
        for cause in causes(lines):
            click.echo(cause)
        if any(line.is_published for line in lines):
            click.echo(summary(lines))
        failed = sum(not line.holds for line in lines)
        click.echo(f"{len(lines) - failed} of {counted(len(lines), 'claim')} {'holds' if len(lines) == 1 else 'hold'}")
    return ExitCode.OK if all(line.holds for line in lines) else ExitCode.CLAIM_NOT_REACHED


def _row(line: Line) -> tuple[str, ...]:
    return line.recipe, line.claim, line.paper, line.shown, line.baseline, line.difference, line.verdict
