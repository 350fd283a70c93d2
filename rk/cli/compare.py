"""`rk compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rk.cli.complete import complete_run
from rk.cli.options import json_option, runs_dir_option
from rk.cli.output import echo
from rk.cli.outputs import check_ending, make_parents
from rk.errors import UserError, suggest

if TYPE_CHECKING:
    from rk.report.summary import RunSummary


@click.command()
@click.argument("which", nargs=-1, required=True, metavar="RUN RUN...", shell_complete=complete_run)
@click.option(
    "--metric", "metrics", multiple=True, help="Only this metric, with its split or without; may be repeated."
)
@click.option(
    "--matrix",
    "axes",
    nargs=2,
    metavar="ROWS COLUMNS",
    help="Two settings, one down and one across, and a metric where they meet.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw the curves: .svg, .png or .pdf.",
)
@json_option
@runs_dir_option
def compare(
    which: tuple[str, ...],
    metrics: tuple[str, ...],
    axes: tuple[str, str] | None,
    output: Path | None,
    as_json: bool,
    runs_dir: Path | None,
) -> None:
    """Compare runs: changed settings, metrics, time, curves.

    Runs that differ in fit.seed alone count as one method: differences between methods that are noise are marked.

    \b
    rk compare runs/my-recipe/*
    rk compare 4f0a 77c1 -o curves.svg --metric accuracy
    rk compare runs/*/* --matrix model.layer data --metric test/accuracy
    """
    from rk.charts import ENDINGS
    from rk.cli.output import print_json, print_table
    from rk.report.compare import MARK, comparison, table
    from rk.report.curves import draw_file, metric_names
    from rk.report.matrix import matrix
    from rk.report.noise import noise_in
    from rk.report.summary import RunSummary
    from rk.runs import RunFolder

    if output is not None:
        check_ending(output, ENDINGS, verb="draw into")
    runs = [RunSummary(folder) for folder in RunFolder.find_all(which, runs_dir)]
    if len(runs) < 2:
        raise UserError("there is one run: nothing to compare it with", "name two or more; rk runs lists them")
    if axes is not None:
        if output is not None:
            raise UserError("a matrix has no curves", "leave out --matrix or -o")
        found = matrix(runs, *axes, metrics)
        if as_json:
            print_json(found.plain())
        else:
            heads = (f"{column}\n{metric}" for column, metric in zip(found.columns, found.metrics, strict=True))
            print_table(("", *heads), found.table())
        return
    _check_metrics(metrics, runs)
    if as_json:
        noise = noise_in(runs, metrics)
        print_json([one | {"noise_in": own} for one, own in zip(comparison(runs, metrics), noise, strict=True)])
    else:
        columns, rows = ("", *(run.folder.label for run in runs)), table(runs, metrics)
        if len(columns) > len(rows):  # many runs: one to a line
            columns, *rows = zip(columns, *rows, strict=True)
        print_table(columns, rows)
        if any(cell.endswith(f" {MARK}") for row in rows for cell in row):
            click.echo(f"{MARK} the best of its metric")
        _print_noise(runs, metrics)
    if output is not None:
        known = metric_names(runs)
        if not known:
            raise UserError("none of these runs has a curve: nothing was measured twice")
        asked = list(dict.fromkeys(metric.rpartition("/")[2] for metric in metrics))
        for metric in asked:
            if metric not in known:
                raise UserError(f"no run has a curve of {metric!r}", suggest(metric, known, "there are"))
        make_parents(output)
        draw_file(runs, asked or known, output)
        echo(f"drew {output}", err=as_json)


def _print_noise(runs: list[RunSummary], metrics: tuple[str, ...]) -> None:
    """Prints the means over the seeds of the same settings, and which differences are noise."""
    from rk.cli.output import print_table
    from rk.report.noise import SINGLE, compared, groups, noise_table
    from rk.report.seeds import LEVEL

    found = groups(runs)
    if len(found) < 2:
        return
    rows = compared(found, metrics)
    if not any(difference for row in rows for difference in row.differences):
        click.echo(SINGLE)
        return
    heads = ["mean over seeds", *(f"{group.label} ({len(group.runs)})" for group in found)]
    print_table([*heads, *(["better by"] if len(found) == 2 else [])], noise_table(found, rows))
    click.echo(f"* the best mean; ~ noise: the {LEVEL:.0%} interval of the difference to the best includes 0")


def _check_metrics(metrics: tuple[str, ...], runs: list[RunSummary]) -> None:
    """Refuses a metric that no run has."""
    whole = dict.fromkeys(name for run in runs for name in (*run.metrics, *run.series))
    known = [*whole, *dict.fromkeys(name.partition("/")[2] for name in whole)]
    for metric in metrics:
        if metric not in known:
            raise UserError(f"no run has a metric {metric!r}", suggest(metric, known, "there are"))
