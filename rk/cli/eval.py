"""`rk eval`."""

from __future__ import annotations

from pathlib import Path

import click

from rk.cli.complete import complete_decoding, complete_run
from rk.cli.options import json_option, runs_dir_option


@click.command(name="eval")
@click.argument("run", shell_complete=complete_run)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...", shell_complete=complete_decoding)
@click.option("--split", "splits", multiple=True, help="A split to measure; may be repeated.  [default: val*, test*]")
@click.option("--limit", type=click.IntRange(min=1), help="The most batches to take of each split.")
@json_option
@runs_dir_option
def evaluate(
    run: str,
    overrides: tuple[str, ...],
    splits: tuple[str, ...],
    limit: int | None,
    as_json: bool,
    runs_dir: Path | None,
) -> None:
    """Measure a trained run, on other data or with other decoding.

    RUN is a run's folder, its name, or `last`. KEY=VALUE may change data.* and parameters for decoding: what has no
    effect on weights. A run is measured in the precision that it was trained in, unless fit.precision is given.

    \b
    rk eval last model.beam_size=3
    rk eval last data.test_sizes=[50] --split test-50
    """
    from rk.catalog import Catalog
    from rk.cli.output import number, print_json, print_table
    from rk.runs import RunFolder, json_number

    folder = RunFolder.find(run, runs_dir)
    from rk.fit.progress import loading

    with loading():
        from rk.fit.loaded import LoadedRun

        loaded = LoadedRun.open(folder.path, Catalog(), overrides)
    if (precision := loaded.recipe.fit.precision) != "32-true":
        click.echo(f"measured in {precision}, as it was trained (in 32 bits with fit.precision=32-true)", err=True)
    results = loaded.evaluate(splits, limit)
    if as_json:
        print_json(
            {
                "name": loaded.recipe.name,
                "run": folder.label,
                "metrics": {k: json_number(v) for k, v in results.items()},
            }
        )
    else:
        print_table(("metric", "value"), [(k, number(v)) for k, v in results.items()])
