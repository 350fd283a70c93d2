"""`rk report`."""

from __future__ import annotations

from pathlib import Path

import click

from rk.cli.complete import complete_run
from rk.cli.options import runs_dir_option
from rk.cli.outputs import check_ending, make_parents


@click.command()
@click.argument("which", nargs=-1, required=True, metavar="RUN...", shell_complete=complete_run)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write.  [default: RUN/report.html; ./report.html for several, and for a hub folder]",
)
@runs_dir_option
def report(which: tuple[str, ...], output: Path | None, runs_dir: Path | None) -> None:
    """Write runs as one HTML page: results, curves, figures, recipe.

    Several runs are compared. The page is one file that needs no network.

    \b
    rk report last
    rk report runs/my-recipe/* -o comparison.html
    """
    from rk.export.folder import takes_files
    from rk.report.page import render_page
    from rk.report.summary import RunSummary
    from rk.runs import RunFolder
    from rk.writing import write_atomic

    if output is not None:
        check_ending(output, (".html", ".htm"), "a report is HTML: choose a name that ends in .html")
    folders = RunFolder.find_all(which, runs_dir)
    page = render_page([RunSummary(folder) for folder in folders])
    if output is None:
        output = folders[0].report if len(folders) == 1 and takes_files(folders[0]) else Path("report.html")
    make_parents(output)
    write_atomic(output, page)
    click.echo(f"wrote {output} ({output.stat().st_size:,} bytes)")
