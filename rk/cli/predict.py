"""`rk predict`."""

from __future__ import annotations

import re
from collections.abc import Iterator
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
    from rk.cli.answers import AnswerFile
    from rk.fit.loaded import LoadedRun
    from rk.inputs import Input
    from rk.protocols import Batch, Outputs
    from rk.runs import RunFolder

FIGURES = (".svg", ".png", ".pdf")
PIECE = 1024
"""Most examples of a file that are answered at once, where the data can divide them."""
MOST_SHOWN = 1000
"""Most answers that are printed where a file has them all."""
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
    help="Write the answers: .json, .jsonl, .csv, a figure (.svg, .png, .pdf), or what the data writes; repeatable.",
)
@click.option("--text", "texts", multiple=True, metavar="TEXT", help="Answer this text instead of a file.")
@runs_dir_option
def predict(
    run: str, inputs: tuple[str, ...], outputs: tuple[Path, ...], texts: tuple[str, ...], runs_dir: Path | None
) -> int:
    """Answer files of your own with a trained run.

    RUN is a run's folder, its name, or `last`; the data determine what INPUT may be (`rk show data NAME`). INPUT is a
    file, a folder, a pattern such as 'scans/*.png', or - for standard input, which is read as text. The answers to
    several files are one table with a column `file`, and each file has its own figure. A file with many examples is
    answered piece by piece, and -o files are written as the answers come. Figures go into the run's
    folder unless -o names another place. Nothing is written into a hub folder, or into a run that is read-only: figures
    go into the working folder, as INPUT-answer.

    \b
    rk predict last capitals.csv
    rk predict last one.png two.png scans/ -o answers.csv
    rk predict last points.csv -o hull.json -o hull.svg model.beam_size=3
    rk predict last --text "jump twice"
    """
    from rk.catalog import Catalog
    from rk.cli.answers import ENDINGS
    from rk.inputs import find_inputs
    from rk.runs import RunFolder

    overrides = tuple(text for text in inputs if _OVERRIDE.fullmatch(text) and not Path(text).exists())
    folder = RunFolder.find(run, runs_dir)
    endings = (*ENDINGS, *FIGURES, *literal_of_data(folder, "writes"))
    for output in outputs:
        check_ending(output, endings)
    ending = literal_of_data(folder, "text_ending") if texts else ()
    with find_inputs([text for text in inputs if text not in overrides], texts, next(iter(ending), None)) as found:
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
    """Answers every input; one that cannot be read is reported, and costs the others nothing.

    Files of answers grow as the inputs are answered. Ctrl-C ends with those that are answered until then.
    """
    from rk.cli.answers import ENDINGS, AnswerFile, Shown
    from rk.cli.messages import show
    from rk.fit.progress import Counter

    named = [output for output in outputs if output.suffix.lower() in ENDINGS]
    for output in named:
        make_parents(output)
    files: list[AnswerFile] = []
    shown = Shown(MOST_SHOWN if named else None)
    drawing = Drawing(loaded, outputs, several=len(inputs) > 1)
    failed: list[RkError] = []
    stopped: KeyboardInterrupt | None = None
    done = 0
    try:
        files += map(AnswerFile.of, named)
        with Counter("files", len(inputs)) as counter:
            for item in inputs:
                for part, (batch, answered, rows) in enumerate(_pieces(loaded, item, drawing.most, failed)):
                    found = rows if len(inputs) == 1 else [{"file": item.name, **row} for row in rows]
                    shown.add(found)
                    for file in files:
                        file.add(found)
                    if not part:
                        drawing.draw(item, batch, answered)
                    counter.show(done, shown.count)
                if failed and len(inputs) == 1:
                    raise failed[0]
                done += 1
                counter.show(done, shown.count)
    except KeyboardInterrupt as interrupt:
        if not shown.count:
            _drop(files)
            raise
        stopped = interrupt
    except BaseException:
        _drop(files)
        raise
    shown.print(str(named[0]) if named else "")
    for file in files:
        file.close()
        echo(f"wrote {file.path}")
    drawing.report()
    for failure in failed:
        show(failure.render())
    if stopped is not None:
        stopped.args = (f"interrupted: {done} of {len(inputs)} files are answered",)
        raise stopped
    return ExitCode.USER_ERROR if failed else ExitCode.OK


def _pieces(
    loaded: LoadedRun, item: Input, most: int | None, failed: list[RkError]
) -> Iterator[tuple[Batch, Outputs, list[PlainDict]]]:
    """Yields the answers to an input piece by piece; adds the mistake to `failed` when it cannot be read."""
    try:
        yield from loaded.answer_pieces(item.path, most)
    except UserError as error:
        failed.append(UserError(error.message.replace(str(item.path), item.shown), error.hint))


def _drop(files: list[AnswerFile]) -> None:
    for file in files:
        file.drop()


def class_endings(loaded: LoadedRun) -> tuple[str, ...]:
    """Returns the endings of the files that a run's data writes."""
    return tuple(getattr(type(loaded.data), "writes", ()))


class Drawing:
    """The files that data or a learner make of an input beside its answers: figures, and files of the data's own kind.

    Args:
        loaded: The run.
        outputs: The files that the user names.
        several: Whether there are several inputs: each then has its own file.

    Attributes:
        most: Most examples that are answered at once: all of them where the data writes a file.
    """

    def __init__(self, loaded: LoadedRun, outputs: tuple[Path, ...], several: bool) -> None:
        from rk.cli.answers import ENDINGS
        from rk.fit.figures import artists

        self.loaded = loaded
        self.several = several
        own = class_endings(loaded)  # a .png, say, is then the data's: masks
        self.written = [output for output in outputs if output.suffix.lower() in own]
        self.figures = [output for output in outputs if output.suffix.lower() not in (*ENDINGS, *own)]
        self.into_run = not outputs and bool(artists(loaded.data, loaded.learner))
        self.most = None if self.written else PIECE
        self.lines: list[str] = []
        self.failed: RkError | None = None

    def draw(self, item: Input, batch: Batch, outputs: Outputs) -> None:
        """Makes the files of one input. What goes wrong is kept for `report`: the answers are worth more."""
        if self.failed is not None:
            return
        try:
            for output in self.written:
                make_parents(output)
                found = self.loaded.write(batch, outputs, _of_input(output, item, self.several))
                self.lines += [f"wrote {path}" for path in found]
            for output in self.figures:
                make_parents(output)
                found = _rendered(self.loaded, batch, outputs, _of_input(output, item, self.several), item.stem)
                self.lines += [f"wrote {path}" for path in found]
            if self.into_run:
                from rk.export.folder import takes_files

                out = None if takes_files(self.loaded.folder) else Path(f"{item.stem}-answer")
                found = _rendered(self.loaded, batch, outputs, out, item.stem)
                self.lines += [f"drew {path}" for path in found]
        except RkError as error:
            self.failed = error

    def report(self) -> None:
        """Prints what was made. Raises what went wrong."""
        for line in self.lines:
            echo(line)
        if self.failed is not None:
            raise self.failed


def literal_of_data(folder: RunFolder, name: str) -> tuple[str, ...]:
    """Returns a literal of the class of a run's data: read from its source, before it is loaded.

    Args:
        folder: The run.
        name: ``writes``, the endings of the files that it writes; ``text_ending``, that of a ``--text``.
    """
    from rk.catalog import Catalog
    from rk.recipe.components import class_literal
    from rk.recipe.stored import stored_values

    data = stored_values(folder).get("data")
    found = data.get("name") if isinstance(data, dict) else data
    try:
        catalog = Catalog()
        return class_literal(catalog.info(catalog.resolve("data", str(found))), name)
    except UserError:  # reported when the run is loaded
        return ()


def _of_input(output: Path, item: Input, several: bool) -> Path:
    """Returns the file of one input: of several, each has its own."""
    return output.with_name(f"{output.stem}-{item.stem}{output.suffix}") if several else output


def _rendered(loaded: LoadedRun, batch: Batch, answered: Outputs, out: Path | None, stem: str) -> list[Path]:
    """Draws one input: into `out`, or into the run. Raises `UserError` where the figure cannot be written."""
    try:
        return loaded.render(batch, answered, out, stem)
    except OSError as error:
        place = loaded.folder.figures if out is None else out
        raise UserError(
            f"cannot write a figure to {place}: {error.strerror or error}", "name a file with -o, such as -o answer.png"
        ) from None
