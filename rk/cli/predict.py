"""`rk predict`."""

from __future__ import annotations

from pathlib import Path

import click

from rk.cli.complete import complete_decoding, complete_run
from rk.cli.loading import runs_dir_option
from rk.errors import UserError

FIGURES = (".svg", ".png", ".pdf")


@click.command()
@click.argument("run", shell_complete=complete_run)
@click.argument("input", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...", shell_complete=complete_decoding)
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the answer: .json, .csv, or a figure (.svg, .png, .pdf). May be repeated.",
)
@runs_dir_option
def predict(
    run: str, input: Path, overrides: tuple[str, ...], outputs: tuple[Path, ...], runs_dir: Path | None
) -> None:
    """Answer a file of your own with a trained run.

    RUN is a run's folder, its name, or `last`; what INPUT may be is the data's to say (`rk show data NAME`). The answer
    is printed; figures go into the run's folder unless -o says otherwise.

    \b
    rk predict last capitals.csv
    rk predict last points.csv -o hull.json -o hull.svg model.beam_size=3
    """
    from rk.catalog import Catalog
    from rk.cli.answers import print_answers, write_answers
    from rk.runs import RunFolder

    folder = RunFolder.find(run, runs_dir)
    if not input.is_file():
        raise UserError(f"no such file: {input}")
    strange = [str(o) for o in outputs if o.suffix not in (*FIGURES, ".json", ".csv")]
    if strange:
        raise UserError(f"cannot write {strange[0]}", f"the ending says what: .json, .csv, {', '.join(FIGURES)}")
    from rk.fit.loaded import LoadedRun

    loaded = LoadedRun.open(folder.path, Catalog(), overrides)
    batch, answered, answers = loaded.predict(input)
    print_answers(answers)
    for output in outputs:
        if output.suffix in FIGURES:
            written = loaded.render(batch, answered, output)
        else:
            write_answers(answers, output)
            written = [output]
        for path in written:
            click.echo(f"wrote {path}")
    if not outputs:
        for path in loaded.render(batch, answered, None, input.stem):
            click.echo(f"drew {path}")
