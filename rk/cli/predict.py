"""`rk predict`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rk.cli.complete import complete_input, complete_run
from rk.cli.options import runs_dir_option
from rk.cli.output import echo
from rk.cli.outputs import check_ending, make_parents
from rk.errors import ExitCode, RkError, UserError
from rk.values import PlainDict

if TYPE_CHECKING:
    from rk.fit.loaded import LoadedRun
    from rk.inputs import Input
    from rk.protocols import Batch, Outputs
    from rk.runs import RunFolder

FIGURES = (".svg", ".png", ".pdf")
_OVERRIDE = re.compile(r"~?[A-Za-z_][\w.-]*=.*", re.DOTALL)


@click.command()
@click.argument("run", shell_complete=complete_run)
@click.argument("inputs", nargs=-1, metavar="INPUT... [KEY=VALUE]...", shell_complete=complete_input)
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the answers: .json, .csv, a figure (.svg, .png, .pdf), or what the data writes. May be repeated.",
)
@click.option("--text", "texts", multiple=True, metavar="TEXT", help="Answer this text instead of a file.")
@runs_dir_option
def predict(
    run: str, inputs: tuple[str, ...], outputs: tuple[Path, ...], texts: tuple[str, ...], runs_dir: Path | None
) -> int:
    """Answer files of your own with a trained run.

    RUN is a run's folder, its name, or `last`; the data determine what INPUT may be (`rk show data NAME`). INPUT is a
    file, a folder, a pattern such as 'scans/*.png', or - for standard input, which is read as text. The answers to
    several files are one table with a column `file`, and each file has its own figure. Figures go into the run's
    folder unless -o names another place. Nothing is written into a hub folder, or into a run that is read-only: figures
    go into the working folder, as INPUT-answer.

    \b
    rk predict last capitals.csv
    rk predict last one.png two.png scans/ -o answers.csv
    rk predict last points.csv -o hull.json -o hull.svg model.beam_size=3
    rk predict last --text "jump twice"
    """
    from rk.catalog import Catalog
    from rk.inputs import find_inputs
    from rk.runs import RunFolder

    overrides = tuple(text for text in inputs if _OVERRIDE.fullmatch(text) and not Path(text).exists())
    folder = RunFolder.find(run, runs_dir)
    endings = (".json", ".csv", *FIGURES, *written_endings(folder))
    for output in outputs:
        check_ending(output, endings)
    with find_inputs([text for text in inputs if text not in overrides], texts) as found:
        _keep_inputs(found, outputs)
        from rk.fit.progress import loading

        with loading():
            from rk.fit.loaded import LoadedRun

            loaded = LoadedRun.open(folder.path, Catalog(), overrides)
        return _answer(loaded, found, outputs)


def _keep_inputs(inputs: list[Input], outputs: tuple[Path, ...]) -> None:
    """Raises `UserError` when an output would replace an input."""
    mine = {item.path.resolve() for item in inputs}
    if own := [str(output) for output in outputs if output.resolve() in mine]:
        raise UserError(f"-o {own[0]} is the input itself", "choose another file with -o")


def _answer(loaded: LoadedRun, inputs: list[Input], outputs: tuple[Path, ...]) -> int:
    """Answers every input; one that cannot be read is reported, and costs the others nothing."""
    from rk.cli.answers import print_answers, write_answers
    from rk.cli.messages import show

    answers: list[PlainDict] = []
    drawn: list[tuple[Input, Batch, Outputs]] = []
    failed: list[RkError] = []
    for item in inputs:
        try:
            batch, answered, rows = loaded.predict(item.path)
        except UserError as error:
            failed.append(UserError(error.message.replace(str(item.path), item.shown), error.hint))
            if len(inputs) == 1:
                raise failed[0] from None
            continue
        answers += rows if len(inputs) == 1 else [{"file": item.name, **row} for row in rows]
        drawn.append((item, batch, answered))
    print_answers(answers)
    for output in (o for o in outputs if o.suffix.lower() in (".json", ".csv")):
        make_parents(output)
        write_answers(answers, output)
        echo(f"wrote {output}")
    for output in (o for o in outputs if o.suffix.lower() not in (".json", ".csv", *FIGURES)):
        make_parents(output)
        for item, batch, answered in drawn:
            for path in loaded.write(batch, answered, _of_input(output, item, len(drawn) > 1)):
                echo(f"wrote {path}")
    _draw(loaded, drawn, outputs)
    for failure in failed:
        show(failure.render())
    return ExitCode.USER_ERROR if failed else ExitCode.OK


def written_endings(folder: RunFolder) -> tuple[str, ...]:
    """Returns the endings of the files that the data of a run writes: read from its source, before it is loaded."""
    from rk.catalog import Catalog
    from rk.recipe.components import class_literal
    from rk.recipe.stored import stored_values

    data = stored_values(folder).get("data")
    name = data.get("name") if isinstance(data, dict) else data
    try:
        catalog = Catalog()
        return class_literal(catalog.info(catalog.resolve("data", str(name))), "writes")
    except UserError:  # reported when the run is loaded
        return ()


def _of_input(output: Path, item: Input, several: bool) -> Path:
    """Returns the file of one input: of several, each has its own."""
    return output.with_name(f"{output.stem}-{item.stem}{output.suffix}") if several else output


def _draw(loaded: LoadedRun, drawn: list[tuple[Input, Batch, Outputs]], outputs: tuple[Path, ...]) -> None:
    """Draws a figure of each input: into `outputs`, or into the run if none is given."""
    several = len(drawn) > 1
    for output in (o for o in outputs if o.suffix.lower() in FIGURES):
        make_parents(output)
        for item, batch, answered in drawn:
            for written in _rendered(loaded, batch, answered, _of_input(output, item, several), item.stem):
                echo(f"wrote {written}")
    if not outputs:
        from rk.export.folder import takes_files
        from rk.fit.figures import artists

        into_run = takes_files(loaded.folder)
        for item, batch, answered in drawn if artists(loaded.data, loaded.learner) else []:
            out = None if into_run else Path(f"{item.stem}-answer")
            for path in _rendered(loaded, batch, answered, out, item.stem):
                echo(f"drew {path}")


def _rendered(loaded: LoadedRun, batch: Batch, answered: Outputs, out: Path | None, stem: str) -> list[Path]:
    """Draws one input: into `out`, or into the run. Raises `UserError` where the figure cannot be written."""
    try:
        return loaded.render(batch, answered, out, stem)
    except OSError as error:
        place = loaded.folder.figures if out is None else out
        raise UserError(
            f"cannot write a figure to {place}: {error.strerror or error}", "name a file with -o, such as -o answer.png"
        ) from None
